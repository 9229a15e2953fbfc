// Fills a certified asset canister by the official assets client: many small files in one batch, a page in two
// encodings and a large file; one small file is deleted again.
// Arguments: URL, root key (hex), canister id, secret key (hex, Ed25519) of who may upload, number of small files,
// bytes of the large file.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { HttpAgent } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';

// Its ES module cannot be loaded by Node; its other form can.
const { AssetManager } = createRequire(import.meta.url)('@icp-sdk/canisters/assets');

const [url, rootKey, canisterId, secretKey, count, size] = process.argv.slice(2);
const agent = await HttpAgent.create({
  host: url,
  rootKey: Uint8Array.from(Buffer.from(rootKey, 'hex')),
  identity: Ed25519KeyIdentity.fromSecretKey(Uint8Array.from(Buffer.from(secretKey, 'hex'))),
  verifyQuerySignatures: true,
});
const assets = new AssetManager({ agent, canisterId });
const small = assets.batch();
for (let i = 0; i < Number(count); i += 1) {
  await small.store(Buffer.from(`content of ${i}`), {
    fileName: `${i}.txt`,
    path: '/small',
    headers: [['x-number', String(i)], ['cache-control', 'public, max-age=60']],
  });
}
const page = Buffer.from('<!doctype html><title>page</title>'.padEnd(20_000));
await small.store(page, { fileName: 'index.html' });
await small.commit();
await assets.store(gzipSync(page), { fileName: 'index.html', contentEncoding: 'gzip' });
assert.equal((await assets.list()).length, Number(count) + 1);
assert.deepEqual(gzipSync(page), Buffer.from(await (await assets.get('/index.html', ['gzip'])).toUint8Array()));

const large = Buffer.alloc(Number(size));
for (let at = 0; at < large.length; at += 4) large.writeUInt32LE(at, at);
await assets.store(large, { fileName: 'large.bin' });
await assets.delete('/small/7.txt');
await assert.rejects(assets.get('/small/7.txt'));
assert.equal((await assets.list()).length, Number(count) + 1);
