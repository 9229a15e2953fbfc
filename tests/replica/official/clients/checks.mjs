// Runs checks of @icp-sdk/core: each throws when it fails; the names of those that passed are printed.
// Arguments of each script that uses this: URL, root key (hex), and what it names itself.
import { HttpAgent } from '@icp-sdk/core/agent';

const [url, rootKeyHex, ...rest] = process.argv.slice(2);
export const given = rest;
export const rootKey = Uint8Array.from(Buffer.from(rootKeyHex, 'hex'));
export const bytes = (text) => new TextEncoder().encode(text);
export const text = (data) => new TextDecoder().decode(data);

// An agent with every verification on.
export const agentOf = (identity, options = {}) =>
  HttpAgent.create({ host: url, identity, rootKey, verifyQuerySignatures: true, ...options });

export async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(name);
    } catch (error) {
      console.error(`${name}: ${error.stack}`);
      process.exitCode = 1;
    }
  }
}
