// The seat map: a section is drawn as SVG and kept true by the event's stream; one press holds; arrow keys go from seat
// to seat. A seat is told by its shape and its label, not by colour alone.
import { $, $$, api, count, countDown, el, jitter, key, money, pause, retryAfter, say, trouble } from './live.js';

const root = $('#seats'), base = `/api/v1/events/${root.dataset.event}`, perHold = Number(root.dataset.perHold) || 64;
const FREE = 0, HELD = 1, SOLD = 3, PITCH = 34, LABEL = 46;
let map, states = [], revision = 0, hold = root.dataset.hold || '', mine = new Set(), zoom = 1, busy = false;
for (const u of (root.dataset.held || '').split(',')) if (u) mine.add(Number(u));

const escaped = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
const letter = t => String.fromCharCode(65 + t % 26) + (t > 25 ? t / 26 | 0 : '');

// where finds a unit's section, row and number on the seat.
function where(u) {
  for (const s of map.sections) for (const row of s.rows) if (u >= row.first && u < row.first + row.seats) return { s, row, number: row.number + u - row.first };
}

function name(u) {
  const { s, row, number } = where(u);
  return s.general ? s.name : `${s.name}, row ${row.label}, seat ${number}`;
}
const price = t => money(map.tiers[t].price_minor, map.currency);

// Drawing.

function glyph(u, t) {
  if (mine.has(u)) return ['mine', '<circle r="13"/><path d="M-6 0l4 4 8-8"/>', 'yours, press to give back'];
  if (states[u] === FREE) return ['free t' + t % 8, `<circle r="13"/><text y="4">${letter(t)}</text>`, 'free'];
  if (states[u] < SOLD) return ['held', '<circle r="12"/>', 'in other hands, may return'];
  return ['sold', '<path d="M-5 -5l10 10M5 -5l-10 10"/>', 'not to be had'];
}

// dress gives a seat its shape and its label.
function dress(g) {
  const u = Number(g.dataset.u), { row, number } = where(u), [kind, inside, what] = glyph(u, row.tier);
  const set = (key, value) => g.setAttribute(key, value);
  set('class', `seat ${kind}`);
  set('aria-pressed', mine.has(u));
  set('aria-disabled', kind === 'held' || kind === 'sold');
  set('aria-label', `Row ${row.label}, seat ${number}, ${map.tiers[row.tier].name}, ${price(row.tier)}, ${what}`);
  g.innerHTML = `<rect x="-16" y="-16" width="32" height="32" rx="6"/>${inside}`;
}

function redraw(u) {
  $$(`[data-u="${u}"]`).forEach(dress);
}

function plan(s) {
  const widest = Math.max(...s.rows.map(r => r.seats)), width = LABEL * 2 + widest * PITCH, height = s.rows.length * PITCH + 16;
  const rows = s.rows.map((row, i) => {
    const y = i * PITCH + 26, from = LABEL + (widest - row.seats) * PITCH / 2, text = escaped(row.label);
    const mark = x => `<text class="row-name" x="${x}" y="${y + 4}">${text}</text>`;
    let seats = mark(from - 14);
    for (let n = 0; n < row.seats; n++) {
      const x = from + (n + 0.5) * PITCH;
      seats += `<g data-u="${row.first + n}" data-row="${i}" data-x="${x}" transform="translate(${x} ${y})" role="button" tabindex="-1"></g>`;
    }
    return `<g role="group" aria-label="Row ${text}">${seats}${mark(from + row.seats * PITCH + 14)}</g>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="group" aria-label="Seats of ${escaped(s.name)}">${rows.join('')}</svg>`;
}

function size(by) {
  const drawing = $('.plan svg'), box = drawing.viewBox.baseVal;
  zoom = Math.min(2.2, Math.max(0.5, zoom * by));
  drawing.setAttribute('width', box.width * zoom);
  drawing.setAttribute('height', box.height * zoom);
}

function show(index) {
  const s = map.sections[index], box = $('#section'), venue = $('svg.venue'), scroller = $('.plan');
  for (const a of $$('[data-section]')) a.setAttribute('aria-current', Number(a.dataset.section) === index);
  if ($('#best-section')) $('#best-section').value = index;
  if (s?.general) {
    ($('#best-count') || $('#best-h'))?.focus();
    return say(`${s.name} has no numbered seats. Say how many you want.`);
  }
  box.hidden = !s;
  if (venue) venue.style.display = s ? 'none' : '';
  scroller.innerHTML = s ? plan(s) : '';
  if (!s) return $('#map-h').focus();
  const seats = $$('[data-u]', scroller), title = $('h3', box), { width } = $('svg', scroller).viewBox.baseVal;
  seats.forEach(dress);
  zoom = Math.min(1.25, Math.max(0.8, (scroller.clientWidth - 4) / width));
  size(1);
  scroller.scrollLeft = (width * zoom - scroller.clientWidth) / 2;
  ($('.mine', scroller) || $('.free', scroller) || seats[0])?.setAttribute('tabindex', '0');
  title.textContent = s.name;
  title.focus();
}

let counting;
function counts() {
  clearTimeout(counting);
  counting = setTimeout(() => map.sections.forEach((s, i) => {
    let free = 0;
    for (const row of s.rows) for (let u = row.first; u < row.first + row.seats; u++) free += states[u] === FREE;
    for (const e of $$(`[data-free="${i}"]`)) e.textContent = free ? `${count(free)} free` : '× none';
  }), 300);
}

// What others do.

async function fetchSeats() {
  for (;;) {
    const r = await api('GET', `${base}/seats`);
    if (r.ok) {
      revision = r.body.revision;
      states = Uint8Array.from(r.body.states, c => c.charCodeAt(0) - 48);
      $$('#section [data-u]').forEach(dress);
      return counts();
    }
    await pause(retryAfter(r, 3000));
  }
}

function follow() {
  const stream = new EventSource(`${base}/stream?from=${revision}`);
  stream.addEventListener('seats', e => {
    for (const [u, state] of JSON.parse(e.data).seats) {
      states[u] = state;
      redraw(u);
    }
    revision = e.lastEventId || revision;
    counts();
  });
  stream.addEventListener('reset', fetchSeats);
  stream.onerror = async () => {
    if (stream.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
    await pause(jitter(3000));
    follow();
  };
}

// What this buyer does.

function took(h) {
  const before = mine, units = (h?.seats || []).map(s => s.index ?? s);
  hold = h?.id || '';
  mine = new Set(units);
  for (const u of before) if (!mine.has(u)) states[u] = FREE;
  for (const u of units) states[u] = HELD;
  for (const u of new Set([...before, ...units])) redraw(u);
  $('#held').hidden = !hold;
  if (!hold) return;
  $('#held-units').replaceChildren(el('ul', { class: 'units' }, ...units.map(u => el('li', {}, el('span', {}, name(u)), el('span', { class: 'num' }, price(where(u).row.tier))))));
  $('#held-total').textContent = money(h.amount.amount_minor, h.amount.currency);
  countDown($('#held .left'), h.remaining_ms);
}

function lost(text, near = [], kept = []) {
  const note = $('#lost'), [why, where] = $$('span', note), button = $('button', note);
  note.hidden = false;
  why.textContent = text;
  where.parentNode.hidden = !near.length;
  where.textContent = near.map(u => name(u)).join('; ');
  button.onclick = () => ask([...kept, ...near], near);
  for (const u of near) $(`.seat[data-u="${u}"]`)?.classList.add('near');
  note.scrollIntoView({ block: 'nearest' });
  say(`${text} ${near.length ? 'Nearest free: ' + where.textContent : ''}`);
}

async function ask(wanted, added) {
  if (busy) return;
  busy = true;
  const g = $(`.seat[data-u="${added[0]}"]`), kept = wanted.filter(u => !added.includes(u));
  g?.classList.add('asked');
  const gone = !wanted.length, id = key(), path = hold ? `/api/v1/holds/${hold}` : `${base}/holds`;
  const method = gone ? 'DELETE' : hold ? 'PATCH' : 'POST', body = gone ? undefined : { seats: wanted };
  let r = await api(method, path, body, id);
  if (!r.status || r.body.error?.code === 'outcome_unknown') {
    await pause(800);
    r = await api(method, path, body, id); // the same request: done once, whatever came of the first
  }
  busy = false;
  g?.classList.remove('asked');
  if (r.ok) {
    $('#lost').hidden = true;
    took(gone ? null : r.body.hold || r.body);
    return say(gone ? 'Given back. You hold nothing now.' : `${added.map(u => name(u)).join('; ')} ${mine.has(added[0]) ? 'held for you' : 'given back'}. You hold ${mine.size}, ${$('#held-total').textContent}.`);
  }
  const { code, taken = [], near } = r.body.error || {};
  if (['session_required', 'buyer_has_hold', 'hold_lapsed', 'hold_unknown', 'hold_released', 'hold_in_payment'].includes(code)) return location.reload();
  for (const u of taken) {
    states[u] = Math.max(states[u], HELD);
    redraw(u);
  }
  lost(taken.length ? `${taken.map(u => name(u)).join('; ')} ${taken.length > 1 ? 'were' : 'was'} just taken.` : trouble(r), near, kept);
}

function press(u) {
  if ('readonly' in root.dataset) return say('Seats can be held when it is your turn.');
  if (mine.has(u)) return ask([...mine].filter(m => m !== u), [u]);
  if (states[u] !== FREE) return say(`${name(u)} is ${states[u] < SOLD ? 'in other hands and may return' : 'not to be had'}.`);
  if (mine.size >= perHold) return lost(`At most ${perHold} at a time. Give one back first.`);
  ask([...mine, u], [u]);
}

// reach makes Tab come to a seat.
function reach(seat) {
  $('[data-u][tabindex="0"]')?.setAttribute('tabindex', '-1');
  seat.setAttribute('tabindex', '0');
}

function step(from, to) {
  const { x, row } = from.dataset, seats = by => $$(`[data-row="${Number(row) + by}"]`), all = seats(0), at = all.indexOf(from);
  const near = by => seats(by).sort((a, b) => Math.abs(a.dataset.x - x) - Math.abs(b.dataset.x - x))[0];
  return { ArrowLeft: all[at - 1], ArrowRight: all[at + 1], ArrowUp: near(-1), ArrowDown: near(1), Home: all[0], End: all.at(-1) }[to];
}

root.addEventListener('click', e => {
  const seat = e.target.closest('[data-u]'), section = e.target.closest('[data-section]'), tool = e.target.closest('[data-zoom]');
  if (seat) {
    reach(seat);
    press(Number(seat.dataset.u));
  } else if (section && map) {
    e.preventDefault();
    show(Number(section.dataset.section));
  } else if (tool) {
    if (Number(tool.dataset.zoom)) size(tool.dataset.zoom);
    else show(-1);
  }
});
root.addEventListener('keydown', e => {
  const seat = e.target.closest('[data-u]');
  if (!seat) return;
  if (e.key === 'Enter' || e.key === ' ') {
    e.preventDefault();
    return press(Number(seat.dataset.u));
  }
  const next = step(seat, e.key);
  if (!next) return;
  e.preventDefault();
  reach(next);
  next.focus();
});

const geometry = await api('GET', `${base}/map`);
if (geometry.ok) {
  map = geometry.body;
  for (const s of map.sections) s.rows ??= (s.runs || []).map(run => ({ first: run.first, seats: run.count, tier: s.tier }));
  await fetchSeats();
  follow();
  const asked = new URLSearchParams(location.search).get('section');
  if (asked && map.sections[asked]?.general === false) show(Number(asked));
  document.body.dataset.ready = 'seats';
}
