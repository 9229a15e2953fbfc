// Compiles a Motoko program by the official compiler of its kind of persistence.
// Arguments: classical or enhanced, source file, folder for the modules, versions to write into the source.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [kind, source, folder, ...versions] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const [compiler, library] = { classical: ['motoko-classical', 'base'], enhanced: ['motoko', 'core'] }[kind];
const mo = require(compiler);
mo.loadPackage(require(`${compiler}/packages/latest/${library}.json`));
mo.setPublicMetadata(['candid:service', 'candid:args']);
for (const version of versions) {
  mo.write('Main.mo', readFileSync(source, 'utf8').replaceAll('VERSION', version));
  writeFileSync(join(folder, `${version}.wasm`), mo.wasm('Main.mo', 'ic').wasm);
}
