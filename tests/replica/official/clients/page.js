// What a page of a canister can do in a browser. Its address says where: ?keeper=...&other=...&key=...
// Writes the names of the checks that passed, or why one failed, into the document.
import { HttpAgent } from 'ENTRY';

const given = Object.fromEntries(new URLSearchParams(location.search));
const bytes = (text) => new TextEncoder().encode(text);
const text = (data) => new TextDecoder().decode(data);
const event = (target, name) =>
  new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener('error', () => reject(new Error(`${name}: ${target.error?.message}`)), { once: true });
  });
function equal(found, expected) {
  if (found !== expected) throw new Error(`${found} instead of ${expected}`);
}

const checks = {
  async 'style sheet and image'() {
    equal(getComputedStyle(document.querySelector('h1')).color, 'rgb(1, 2, 3)');
    const image = document.querySelector('img');
    await image.decode();
    equal(image.naturalWidth, 32);
  },
  async 'a file in parts'() {
    const answer = await fetch('/sound.wav');
    equal(answer.status, 200);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await answer.arrayBuffer()));
    equal(Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''), given.digest);
  },
  async 'a video element that plays a file in ranges'() {
    const video = document.createElement('video');
    Object.assign(video, { src: '/sound.wav', muted: true, playbackRate: 4 });
    document.body.append(video);
    await video.play();
    await event(video, 'ended');
    equal(Math.round(video.duration), 4);
    const sizes = performance.getEntriesByName(new URL('/sound.wav', location).href).length;
    equal(sizes > 1, true);
  },
  async 'a page of another canister'() {
    const answer = await fetch(given.other, { method: 'PUT', headers: { 'Content-Type': 'text/x' } });
    equal(await answer.text(), 'of another canister');
    equal(answer.headers.get('x-ic-canister-id').length, 27);
  },
  async 'the replica by its official agent, verified'() {
    const rootKey = Uint8Array.from(given.key.match(/../g), (byte) => parseInt(byte, 16));
    const host = `http://localhost:${location.port}`;
    const agent = await HttpAgent.create({ host, rootKey, verifyQuerySignatures: true });
    const sent = await agent.call(given.keeper, { methodName: 'set', arg: bytes('from a page') });
    equal(sent.response.status, 200);
    const answer = await agent.query(given.keeper, { methodName: 'get', arg: new Uint8Array() });
    equal(text(answer.reply.arg), 'from a page');
  },
  async 'a service worker for the whole origin'() {
    const registration = await navigator.serviceWorker.register('/worker.js');
    equal(registration.scope, `${location.origin}/`);
    await navigator.serviceWorker.ready;
  },
  async 'a form that is posted to an update'() {
    const frame = document.querySelector('iframe');
    const loaded = event(frame, 'load');
    document.querySelector('form').submit();
    await loaded;
    equal(frame.contentDocument.title, 'posted');
    equal(frame.contentDocument.querySelector('p').textContent, 'word=a+b');
  },
};

const outcome = [];
for (const [name, check] of Object.entries(checks)) {
  outcome.push(await check().then(() => `passed ${name}`, (error) => `failed ${name}: ${error.message}`));
}
document.getElementById('outcome').textContent = outcome.join('\n');
document.title = 'done';
