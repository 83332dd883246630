# Baton's image: the command line with its worker, the demo's handler, and nothing that only builds or tests.
#   docker build -t baton .
# Your handler goes on top of it: docs/deploy/docker.md.
ARG NODE_IMAGE=node:22-trixie-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /build
COPY package.json package-lock.json ./
COPY deploy/docker/check-packages.mjs ./
# Not `npm ci`, which refuses a lock file that leaves out optional packages of other platforms. What it would have
# guaranteed is checked instead: exactly the versions of the lock file, with the contents that it names.
RUN npm install --no-save --no-audit --no-fund --ignore-scripts --omit=dev \
 && node check-packages.mjs \
 && cp -r node_modules production \
 && npm install --no-save --no-audit --no-fund --ignore-scripts \
 && node check-packages.mjs

FROM packages AS build
COPY tsconfig.json ./
COPY workflows ./workflows
COPY activities ./activities
COPY src ./src
RUN npm run build
COPY . .
# The package's own list of files says what belongs to it; the workflow bundle is among them.
RUN npm pack --ignore-scripts --silent \
 && mkdir /opt/baton \
 && tar -xzf baton-*.tgz -C /opt/baton --strip-components=1 \
 && mv production /opt/baton/node_modules \
 && cp deploy/docker/health-check.mjs /opt/baton/ \
 && chmod 755 /opt/baton/dist/src/cli/main.js
# The engine below Temporal's SDK comes compiled for five platforms, and with its sources.
RUN cd /opt/baton/node_modules/@temporalio/core-bridge \
 && rm -rf sdk-core src Cargo.lock \
 && case "$(uname -m)" in x86_64) keep=x86_64 ;; *) keep=aarch64 ;; esac \
 && find releases -mindepth 1 -maxdepth 1 ! -name "$keep-unknown-linux-gnu" -exec rm -rf {} + \
 && find /opt/baton/node_modules -name '*.map' -delete

FROM ${NODE_IMAGE}
# As PID 1 it passes signals on and reaps what hooks leave behind, under every orchestrator.
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/*
COPY --from=build /opt/baton /opt/baton
# /node_modules: so that `import … from 'baton'` finds it from a handler in any folder.
# /var/lib/baton: the one place to write to; mount a volume there for records and ledgers.
RUN ln -s /opt/baton/dist/src/cli/main.js /usr/local/bin/baton \
 && mkdir -p /node_modules /app \
 && ln -s /opt/baton /node_modules/baton \
 && install -d -o node -g node /var/lib/baton
LABEL org.opencontainers.image.title="Baton" \
      org.opencontainers.image.description="Failover for queue consumers that run in several regions and must be active in exactly one" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production
# Where baton.yaml is looked for.
WORKDIR /app
# By number, so that Kubernetes sees that it is not root.
USER 1000:1000
EXPOSE 8080
# Whether the process lives, not whether it is ready: Swarm replaces what is unhealthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "/opt/baton/health-check.mjs"]
ENTRYPOINT ["tini", "--", "baton"]
CMD ["worker"]
