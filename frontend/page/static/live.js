// What every page has: countdowns from what the server said was left, times in the visitor's own zone, a voice for
// screen readers, and the one way of asking the API.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
export const count = n => Number(n).toLocaleString('en');
export const jitter = ms => ms * (0.85 + Math.random() * 0.3);
export const pause = ms => new Promise(done => setTimeout(done, ms));

export function el(name, attributes = {}, ...inside) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...inside);
  return e;
}

// say is heard when the voice has finished what it says; the same text twice is heard twice.
export function say(text) {
  const voice = $('#said');
  voice.textContent = '';
  setTimeout(() => { voice.textContent = text; }, 50);
}

// key names a request, so that it can be repeated; crypto.randomUUID would want https.
export const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, '0')).join('');

// api asks and gives {ok, status, body}; status 0 means that no answer came.
export async function api(method, path, body, id) {
  const headers = { Accept: 'application/json', 'X-CSRF-Token': $('meta[name=csrf]').content };
  if (body) headers['Content-Type'] = 'application/json';
  if (id) headers['Idempotency-Key'] = id;
  try {
    const r = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const answer = (r.headers.get('Content-Type') || '').includes('json') ? await r.json() : {};
    return { ok: r.ok, status: r.status, body: answer };
  } catch {
    return { ok: false, status: 0, body: {} };
  }
}

// trouble says a failed answer in words.
export const trouble = r => r.body.error?.message
  || (r.status ? 'That did not work.' : 'The server cannot be reached. What you hold stays held; please try again.');
export const retryAfter = (r, otherwise) => r.body.error?.retry_after_ms || r.body.next_poll_ms || otherwise;

export function money(minor, currency) {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
}

function clock(ms) {
  const s = Math.max(0, ms / 1000), two = n => String(n % 60 | 0).padStart(2, '0');
  return s >= 3600 ? `${s / 3600 | 0}:${two(s / 60)}:${two(s)}` : `${s / 60 | 0}:${two(s)}`;
}

// Countdowns. Differences of Date.now also count a phone's sleep; the clock itself may be wrong.
const running = new Map();
export function countDown(element, ms) {
  running.set(element, { end: Date.now() + ms, heard: ms });
  tick();
}
const heardAt = [120e3, 60e3, 20e3];
function tick() {
  for (const [element, c] of running) {
    const ms = c.end - Date.now();
    element.textContent = clock(ms);
    element.classList.toggle('soon', ms < 60e3);
    const now = heardAt.find(at => ms <= at && c.heard > at);
    if (now && element.dataset.say) say(`${element.dataset.say} ${now / 1e3} seconds`);
    c.heard = ms;
    if (!element.isConnected) running.delete(element);
    else if (ms <= 0) {
      running.delete(element);
      element.dispatchEvent(new CustomEvent('over', { bubbles: true, cancelable: true }));
    }
  }
}

// scan makes what is on the page live; it is called again for what was put there later.
export function scan(root = document) {
  for (const element of $$('.left[data-left]', root)) if (element.dataset.left > 0) countDown(element, Number(element.dataset.left));
  const zone = { year: 'numeric', month: 'long', day: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' };
  for (const time of $$('time[data-when]', root)) time.textContent = new Date(Number(time.dataset.when)).toLocaleString('en-GB', zone);
  for (const element of $$('.needs-js', root)) element.hidden = false;
}

// swap fetches this page anew and puts its content in place: nothing flashes, and a sound may still play.
export async function swap() {
  try {
    const r = await fetch(location.href, { headers: { Accept: 'text/html' } });
    const page = new DOMParser().parseFromString(await r.text(), 'text/html'), main = $('main', page);
    if (!main || r.redirected) return location.assign(r.url);
    const focused = $('main').contains(document.activeElement);
    $('main').replaceWith(document.adoptNode(main));
    document.title = page.title;
    $('meta[name=csrf]').content = $('meta[name=csrf]', page).content;
    scan();
    if (focused) $('main').focus();
    say($('h1').textContent);
    return true;
  } catch {
    return false;
  }
}

// Who comes when a countdown ends is many: they come a little apart.
document.addEventListener('over', e => { if (!e.defaultPrevented) setTimeout(() => location.reload(), 1000 + Math.random() * 2000); });
addEventListener('pageshow', e => { if (e.persisted) location.reload(); });
setInterval(tick, 250);
scan();
