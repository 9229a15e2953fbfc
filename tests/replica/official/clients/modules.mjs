// A package for browsers, unbundled: prints JSON with its modules, path -> source in which imports are paths.
// Argument: what a page would import. Needs node --experimental-import-meta-resolve.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('./node_modules/', import.meta.url).href;
const path = (url) => '/modules/' + url.slice(root.length);
const IMPORT = /(\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\2/g;

const modules = {};
const waiting = [import.meta.resolve(process.argv[2])];
const entry = path(waiting[0]);
for (let url; (url = waiting.pop()); ) {
  if (path(url) in modules) continue;
  modules[path(url)] = readFileSync(fileURLToPath(url), 'utf8').replace(IMPORT, (all, before, quote, specifier) => {
    let found;
    try {
      found = import.meta.resolve(specifier, url);
    } catch {
      return all; // an example in a comment
    }
    if (!found.startsWith(root) || !existsSync(fileURLToPath(found))) return all;
    waiting.push(found);
    return before + quote + path(found) + quote;
  });
}
console.log(JSON.stringify({ entry, modules }));
