// The waiting room: asks when the server said to, shows what changed, fetches the page anew where more did.
import { $, $$, api, count, el, jitter, retryAfter, swap } from './live.js';
import './join.js';

const over = ['outside', 'done', 'left', 'over', 'admitted'];
let fresh = Date.now(), timer, stream, audio;
const room = () => $('#room');

function range([low, high] = []) {
  if (!high) return 'unknown';
  const from = Math.max(1, Math.ceil(low / 60e3)), to = Math.ceil(high / 60e3);
  const long = m => m < 60 ? `${m} minutes` : `${Math.floor(m / 60)} h ${m % 60} min`;
  if (to <= 1) return 'about a minute or less';
  return from >= to ? `about ${long(to)}` : to < 60 ? `${from} to ${to} minutes` : `${long(from)} to ${long(to)}`;
}

const odds = { likely: ['good', '●'], possible: ['warn', '◐'], unlikely: ['bad', '○'] };

function show(place) {
  const put = (name, text) => $$(`[data-show=${name}]`).forEach(e => { e.textContent = text; });
  put('ahead', place.ahead >= 0 ? count(place.ahead) : 'unknown');
  put('wait', range(place.wait_ms));
  put('issued', count(place.issued ?? 0));
  const bar = $('progress[data-show=served]');
  if (bar && place.served != null) bar.value = place.served;
  const tag = $('[data-show=odds] .tag'), [tone, sign] = odds[place.odds] || ['', '?'];
  if (tag) {
    tag.className = `tag ${tone}`;
    tag.replaceChildren(el('i', { 'aria-hidden': true }, sign), ' ' + (tone && place.odds || 'unknown'));
  }
  const cause = $('[data-show=cause]');
  if (cause) cause.hidden = !(cause.textContent = place.cause || '');
}

const wait = ms => { clearTimeout(timer); timer = setTimeout(poll, jitter(ms)); };

async function poll() {
  if (!room() || over.includes(room().dataset.room)) return;
  const r = await api('GET', `/api/v1/events/${room().dataset.event}/line/place`);
  if (r.status === 401) await swap();
  if (!r.ok) {
    const note = $('[data-show=fresh]');
    if (note) note.textContent = 'Asking again; your place stays.';
    return wait(retryAfter(r, 4000));
  }
  fresh = Date.now();
  const p = r.body;
  if ([p.room, !!p.paused, !!p.leaderless, p.sale].join('|') !== room().dataset.key && await swap()) {
    if (['turn', 'admitted'].includes(room()?.dataset.room)) ring();
  } else {
    show(p);
  }
  wait(Math.max(1000, p.next_poll_ms || 5000));
}

// The stream tells of a pause at once.
function listen() {
  if (stream || !room() || !('live' in room().dataset)) return;
  stream = new EventSource(`/api/v1/events/${room().dataset.event}/stream?seats=no`);
  const heard = e => {
    const was = room().dataset.key.split('|'), now = JSON.parse(e.data);
    if (['', 'paused', 'leaderless', 'sale'].some((name, i) => name in now && String(now[name]) !== was[i])) wait(Math.random() * 500);
  };
  stream.addEventListener('line', heard);
  stream.addEventListener('sale', heard);
}

function ring() {
  if (!audio) return;
  const tone = audio.createOscillator(), volume = audio.createGain(), at = audio.currentTime;
  volume.gain.setValueAtTime(0.2, at);
  volume.gain.exponentialRampToValueAtTime(0.001, at + 0.8);
  tone.frequency.value = 740;
  tone.connect(volume).connect(audio.destination);
  tone.start(at);
  tone.stop(at + 0.8);
}
document.addEventListener('change', e => {
  if (e.target.id !== 'sound') return;
  audio = e.target.checked ? new AudioContext() : null;
  ring();
});

setInterval(() => {
  const note = $('[data-show=fresh]'), s = Math.round((Date.now() - fresh) / 1000);
  if (note && s < 60) note.textContent = `Updated ${s} s ago.`;
}, 1000);
addEventListener('visibilitychange', () => { if (!document.hidden && Date.now() - fresh > 5000) wait(Math.random() * 500); });
listen();
wait(Number(room()?.dataset.poll) || 2000);
