// Judges HTTP responses by @dfinity/response-verification, the gateway's own verifier.
// Reads JSON lines {name, canisterId, rootKey, nowNs, request, response}, bodies in base64; prints a line
// {name, version} or {name, error} for each.
import { createInterface } from 'node:readline';
import { Principal } from '@icp-sdk/core/principal';
import { verifyRequestResponsePair } from '@dfinity/response-verification';

const decode = (value) => Uint8Array.from(Buffer.from(value, 'base64'));

for await (const line of createInterface({ input: process.stdin })) {
  const { name, canisterId, rootKey, nowNs, request, response } = JSON.parse(line);
  try {
    const result = verifyRequestResponsePair(
      { ...request, body: decode(request.body), certificate_version: 2 },
      { ...response, body: decode(response.body) },
      Principal.fromText(canisterId).toUint8Array(),
      BigInt(nowNs),
      300_000_000_000n,
      decode(rootKey),
      1,
    );
    console.log(JSON.stringify({ name, version: result.verificationVersion }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: String(error.message ?? error) }));
  }
}
