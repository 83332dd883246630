FROM baton-stand-in/debian
RUN useradd --uid 1000 --create-home temporal
COPY bin/temporal /usr/local/bin/
USER temporal
ENTRYPOINT ["temporal"]
