// An issuer of tokens on a free port of this host; prints its URL when it listens. With the names of a
// certificate and its key as arguments it speaks TLS.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import Provider from 'oidc-provider';

const audience = 'https://somebody.example';
const secret = 'the secret of the client';
const jwk = (type, options) => generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' });
const keys = [
  { ...jwk('rsa', { modulusLength: 2048 }), kid: 'rsa', use: 'sig', alg: 'RS256' },
  { ...jwk('ec', { namedCurve: 'P-256' }), kid: 'curve', use: 'sig', alg: 'ES256' },
];
const algorithms = { builder: 'RS256', 'curved-builder': 'ES256', stranger: 'RS256' };

const [cert, key] = process.argv.slice(2).map((name) => readFileSync(name));
const server = cert ? https.createServer({ cert, key }) : http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `${cert ? 'https://localhost' : 'http://127.0.0.1'}:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: Object.keys(algorithms).map((client_id) => ({
      client_id,
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: (context, resource, client) => ({
          scope: '',
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: algorithms[client.clientId] } },
        }),
      },
    },
  });
  server.on('request', provider.callback());
  process.stdout.write(`${issuer}\n`);
});
