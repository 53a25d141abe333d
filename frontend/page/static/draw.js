// The draw, computed again by the visitor's browser: the shard's arithmetic, from the public record alone.
import { $, count, el } from './live.js';

const bytes = hex => Uint8Array.from(hex.match(/../g) || [], h => parseInt(h, 16));
const hex = b => [...b].map(x => x.toString(16).padStart(2, '0')).join('');
const integer = (n, size) => bytes(BigInt(n).toString(16).padStart(size * 2, '0'));
const join = parts => new Uint8Array(parts.flatMap(p => [...p]));
const sha = async (...parts) => new Uint8Array(await crypto.subtle.digest('SHA-256', join(parts)));

async function hmac(key, ...parts) {
  const k = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', k, join(parts)));
}

async function chainOf(r) {
  let chain = await sha([2], integer(r.event, 4)), next = 0;
  for (const h of r.headers) {
    if (h.base !== next || h.count < 1) return null;
    next += h.count;
    chain = await sha([3], chain, integer(h.base, 4), integer(h.count, 4), bytes(h.root));
  }
  return next === r.cohort ? hex(chain) : null;
}

async function beaconHolds(r) {
  const b = r.beacon, want = Math.max(b.round, r.frozen_ms < b.genesis_ms ? 1 : Math.floor((r.frozen_ms - b.genesis_ms) / b.period_ms) + 2);
  if (r.fallback) return !r.round && r.drawn_ms >= b.genesis_ms + (want - 1) * b.period_ms + b.fallback_ms;
  if (r.round?.round !== want) return false;
  const key = await crypto.subtle.importKey('raw', bytes(b.public_key), 'Ed25519', false, ['verify']);
  return crypto.subtle.verify('Ed25519', key, bytes(r.round.signature), await sha(bytes(r.round.previous), integer(want, 8)));
}

// included climbs from the leaf to the root, as in RFC 6962, 2.1.1.
async function included(r, number, key, path) {
  const h = r.headers.find(one => number >= one.base && number < one.base + one.count);
  if (!h) return false;
  let at = number - h.base, last = h.count - 1, is = await sha([0], integer(r.event, 4), bytes(key));
  for (const next of path) {
    if (!last) return false;
    if (at & 1 || at === last) {
      is = await sha([1], bytes(next), is);
      while (!(at & 1) && at) { at >>= 1; last >>= 1; }
    } else is = await sha([1], is, bytes(next));
    at >>= 1;
    last >>= 1;
  }
  return !last && hex(is) === h.root;
}

async function positionOf(r, number, key) {
  if (number >= r.cohort) return number;
  const lot = BigInt('0x' + hex((await hmac(bytes(r.seed), bytes(key))).slice(0, 8)));
  return Number(lot * BigInt(r.cohort) >> 64n);
}

async function verify(data, said) {
  const r = await (await fetch($('#record').href)).json(), secret = bytes(r.secret || '');
  const own = data.key && { number: Number(data.number), path: data.path ? data.path.split(',') : [] };
  await said('The record is of a form that this page knows', r.format === 1 && r.drawn);
  await said('The secret is what was committed to before anyone joined',
    r.commitment === data.commit && hex(await sha([4], integer(r.event, 4), secret)) === r.commitment);
  await said(`The list of ${count(r.cohort)} people is the one that was fixed, whole and in order`, await chainOf(r) === r.chain);
  await said('The list was fixed at the cut-off, and drawn after it', r.frozen_ms >= Math.max(r.draw_ms, r.opened_ms) && r.drawn_ms >= r.frozen_ms);
  if (r.beacon) await said(r.fallback ? 'The public randomness did not come in time' : 'The public randomness is the round that had to be taken, and signed', await beaconHolds(r));
  await said('The seed follows from secret, list and public randomness',
    hex(await hmac(secret, bytes(r.chain), integer(r.cohort, 4), bytes(r.round?.signature || ''))) === r.seed);
  if (!own) return;
  await said(`Your number, ${count(own.number + 1)}, is in the list`, await included(r, own.number, data.key, own.path));
  await said(`Your position follows: ${count(await positionOf(r, own.number, data.key) + 1)}`, true);
}

$('#verify-go')?.addEventListener('click', async e => {
  const list = $('#checks'), button = e.target;
  let right = true;
  const line = (text, holds) => {
    right &&= holds;
    list.append(el('li', {}, el('strong', { class: `tag ${holds ? 'good' : 'bad'}` }, holds ? '✓ holds' : '✗ fails'), ' ', text));
  };
  list.textContent = '';
  button.disabled = true;
  try {
    if (!crypto.subtle) throw new Error('this browser computes only on pages that come over https');
    await verify($('#verify').dataset, line);
    list.after(el('p', { class: `notice ${right ? 'good' : 'bad'}`, id: 'verdict', role: 'status' },
      el('strong', {}, right ? 'The draw is as the record says.' : 'The record does not prove this draw.')));
  } catch (failure) {
    list.append(el('li', {}, `Not checked: ${failure.message}. The file can be, by holdfast queue verify-draw.`));
    button.disabled = false;
  }
});
