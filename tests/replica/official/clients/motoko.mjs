// Compiles a Motoko program by the official compiler of its kind of persistence.
// Arguments: classical or enhanced, source file, folder for the modules, versions to write into the source.
// What lies beside the source can be imported.
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

const [kind, source, folder, ...versions] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const [compiler, library] = { classical: ['motoko-classical', 'base'], enhanced: ['motoko', 'core'] }[kind];
const mo = require(compiler);
mo.loadPackage(require(`${compiler}/packages/latest/${library}.json`));
mo.setPublicMetadata(['candid:service', 'candid:args']);
for (const name of readdirSync(dirname(source), { recursive: true })) {
  const path = join(dirname(source), name);
  if (statSync(path).isFile()) mo.write(name, readFileSync(path, 'utf8'));
}
const main = basename(source);
for (const version of versions) {
  mo.write(main, readFileSync(source, 'utf8').replaceAll('VERSION', version));
  writeFileSync(join(folder, `${version}.wasm`), mo.wasm(main, 'ic').wasm);
}
