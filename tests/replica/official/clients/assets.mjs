// Uploads files to a certified asset canister by the official assets client, and reads them back.
// Arguments: URL, root key (hex), canister id, secret key (hex, Ed25519) of who may upload, files.
// Prints the key under which each file was stored and read back exact.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename } from 'node:path';
import { HttpAgent } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';

// Its ES module cannot be loaded by Node; its other form can.
const { AssetManager } = createRequire(import.meta.url)('@icp-sdk/canisters/assets');

const [url, rootKey, canisterId, secretKey, ...files] = process.argv.slice(2);
const agent = await HttpAgent.create({
  host: url,
  rootKey: Uint8Array.from(Buffer.from(rootKey, 'hex')),
  identity: Ed25519KeyIdentity.fromSecretKey(Uint8Array.from(Buffer.from(secretKey, 'hex'))),
  verifyQuerySignatures: true,
});
const assets = new AssetManager({ agent, canisterId });
for (const file of files) {
  const content = readFileSync(file);
  const key = await assets.store(content, { fileName: basename(file) });
  const stored = await assets.get(key);
  assert.deepEqual(Buffer.from(await stored.toUint8Array()), content);
  console.log(key);
}
assert.equal((await assets.list()).length, files.length);
