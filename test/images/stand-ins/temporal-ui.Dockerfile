FROM baton-stand-in/debian
RUN useradd --uid 1000 --create-home temporal
WORKDIR /home/ui-server
COPY bin/ui-server ./
COPY ui-config/docker.yaml ./config/
USER temporal
ENTRYPOINT ["./ui-server", "--env", "docker", "start"]
