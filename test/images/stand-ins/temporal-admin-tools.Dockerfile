FROM baton-stand-in/debian
RUN useradd --uid 1000 --create-home temporal
COPY bin/temporal-sql-tool bin/temporal /usr/local/bin/
USER temporal
CMD ["sleep", "infinity"]
