// The seat map: one section at a time is drawn as SVG, kept true by the event's stream, and one press holds. A seat is
// told by its shape and its label, not by colour alone; arrow keys go from seat to seat.
import { $, $$, api, count, countDown, el, key, money, pause, retryAfter, say, trouble } from './live.js';

const root = $('#seats'), base = `/api/v1/events/${root.dataset.event}`, perHold = Number(root.dataset.perHold) || 64;
const FREE = 0, HELD = 1, SOLD = 3, PITCH = 34, LABEL = 46;
let map, states = [], revision = 0, hold = root.dataset.hold || '', mine = new Set(), zoom = 1, busy = false, stream;
for (const u of (root.dataset.held || '').split(',')) if (u) mine.add(Number(u));

const escaped = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
const letter = t => String.fromCharCode(65 + t % 26) + (t > 25 ? Math.floor(t / 26) : '');

// where finds a unit's section, row and number on the seat.
function where(u) {
  for (const s of map.sections) for (const row of s.rows) if (u >= row.first && u < row.first + row.seats) return { s, row, number: row.number + u - row.first };
}

function name(u, short) {
  const { s, row, number } = where(u);
  return !s.general ? `${short ? '' : s.name + ', '}row ${row.label}, seat ${number}` : s.name;
}
const price = t => money(map.tiers[t].price_minor, map.currency);

// Drawing.

function glyph(u, t) {
  if (mine.has(u)) return ['mine', '<circle r="13"/><path d="M-6 0l4 4 8-8"/>', 'yours, press to give back'];
  if (states[u] === FREE) return ['free t' + t % 8, `<circle r="13"/><text y="4">${letter(t)}</text>`, 'free'];
  if (states[u] < SOLD) return ['held', '<circle r="12"/>', 'in other hands, may return'];
  return ['sold', '<path d="M-5 -5l10 10M5 -5l-10 10"/>', 'not to be had'];
}

// dress gives a seat's element its shape and its label.
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
  const g = $(`.seat[data-u="${u}"]`);
  if (g) dress(g);
}

function plan(s) {
  const widest = Math.max(...s.rows.map(r => r.seats)), width = LABEL * 2 + widest * PITCH, height = s.rows.length * PITCH + 16;
  const rows = s.rows.map((row, i) => {
    const y = i * PITCH + 26, from = LABEL + (widest - row.seats) * PITCH / 2, text = escaped(row.label);
    const mark = x => `<text class="row-name" x="${x}" y="${y + 4}" aria-hidden="true">${text}</text>`;
    let seats = mark(from - 14);
    for (let n = 0; n < row.seats; n++) {
      const x = from + (n + 0.5) * PITCH;
      seats += `<g data-u="${row.first + n}" data-row="${i}" data-x="${x}" transform="translate(${x} ${y})" role="button" tabindex="-1"></g>`;
    }
    return `<g role="group" aria-label="Row ${text}">${seats}${mark(from + row.seats * PITCH + 14)}</g>`;
  });
  return [width, height, `<svg viewBox="0 0 ${width} ${height}" role="group" aria-label="Seats of ${escaped(s.name)}">${rows.join('')}</svg>`];
}

function show(index, focus) {
  const s = map.sections[index], box = $('#section'), venue = $('svg.venue');
  for (const a of $$('[data-section]')) a.toggleAttribute('aria-current', Number(a.dataset.section) === index);
  if ($('#best-section')) $('#best-section').value = index;
  if (s?.general) {
    ($('#best-count') || $('#best-h'))?.focus();
    return say(`${s.name} has no numbered seats. Say how many you want.`);
  }
  box.hidden = !s;
  if (venue) venue.style.display = s ? 'none' : '';
  box.textContent = '';
  if (!s) return $('#map-h').focus();
  const [width, height, svg] = plan(s), scroller = el('div', { class: 'plan', role: 'region', 'aria-label': `Plan of ${s.name}; scrolls`, tabindex: '-1' });
  scroller.innerHTML = svg;
  const drawing = $('svg', scroller), tool = (sign, text, does) => {
    const b = el('button', { type: 'button', 'aria-label': text }, sign);
    b.onclick = does;
    return b;
  };
  $$('[data-u]', drawing).forEach(dress);
  const size = by => {
    zoom = Math.min(2.2, Math.max(0.5, zoom * by));
    drawing.setAttribute('width', width * zoom);
    drawing.setAttribute('height', height * zoom);
  };
  const title = el('h3', { tabindex: '-1' }, s.name);
  box.append(el('div', { class: 'section-head' }, title, el('div', { class: 'tools' },
    tool('−', 'Smaller', () => size(0.8)), tool('+', 'Larger', () => size(1.25)), tool('All sections', 'Back to all sections', () => show(-1)))), scroller);
  zoom = Math.min(1.25, Math.max(0.8, (scroller.clientWidth - 4) / width));
  size(1);
  scroller.scrollLeft = (width * zoom - scroller.clientWidth) / 2;
  const first = $('.seat.mine', drawing) || $('.seat.free', drawing) || $('.seat', drawing);
  first?.setAttribute('tabindex', '0');
  if (focus) title.focus();
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
  stream = new EventSource(`${base}/stream?from=${revision}`);
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
    await pause(2000 + Math.random() * 2000);
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
  const list = el('ul', { class: 'units' });
  for (const u of units) list.append(el('li', {}, el('span', {}, name(u)), el('span', { class: 'num' }, price(where(u).row.tier))));
  $('#held-units').replaceChildren(list);
  $('#held-total').textContent = money(h.amount.amount_minor, h.amount.currency);
  countDown($('#held .left'), h.remaining_ms);
}

function lost(text, near, add) {
  $('#lost')?.remove();
  const note = el('div', { id: 'lost', class: 'notice warn lost' }, el('p', {}, el('strong', {}, 'Not held. '), text));
  if (near?.length) {
    const b = el('button', { type: 'button' }, near.length > 1 ? 'Hold these instead' : 'Hold it instead');
    b.onclick = () => ask([...add, ...near], near);
    note.append(el('p', {}, `Nearest free: ${near.map(u => name(u)).join('; ')}. `, b));
    for (const u of near) $(`.seat[data-u="${u}"]`)?.classList.add('near');
  }
  $('#map-h').after(note);
  note.scrollIntoView({ block: 'nearest' });
  say(note.textContent);
}

async function ask(wanted, added) {
  if (busy) return;
  busy = true;
  const g = $(`.seat[data-u="${added[0]}"]`), kept = wanted.filter(u => !added.includes(u));
  g?.classList.add('asked');
  const gone = !wanted.length, id = key(), path = hold ? `/api/v1/holds/${hold}` : `${base}/holds`;
  const method = gone ? 'DELETE' : hold ? 'PATCH' : 'POST', body = gone ? undefined : { seats: wanted };
  let r = await api(method, path, body, id);
  if (!r.status) {
    await pause(800);
    r = await api(method, path, body, id); // the same request: it is done once, whatever came of the first
  }
  busy = false;
  g?.classList.remove('asked');
  if (r.ok) {
    $('#lost')?.remove();
    took(gone ? null : r.body.hold || r.body);
    return say(gone ? 'Given back. You hold nothing now.' : `${added.map(u => name(u, true)).join('; ')} ${mine.has(added[0]) ? 'held for you' : 'given back'}. You hold ${mine.size}, ${$('#held-total').textContent}.`);
  }
  const { code = '', taken = [], near } = r.body.error || {};
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
  if (states[u] !== FREE) return say(`${name(u, true)} is ${states[u] < SOLD ? 'in other hands and may return' : 'not to be had'}.`);
  if (mine.size >= perHold) return lost(`At most ${perHold} at a time. Give one back first.`);
  ask([...mine, u], [u]);
}

function step(from, to) {
  const x = Number(from.dataset.x), row = Number(from.dataset.row), all = $$(`.seat[data-row="${row}"]`), at = all.indexOf(from);
  const near = r => $$(`.seat[data-row="${r}"]`).sort((a, b) => Math.abs(a.dataset.x - x) - Math.abs(b.dataset.x - x))[0];
  return { ArrowLeft: () => all[at - 1], ArrowRight: () => all[at + 1], ArrowUp: () => near(row - 1), ArrowDown: () => near(row + 1), Home: () => all[0], End: () => all.at(-1) }[to]?.();
}

root.addEventListener('click', e => {
  const seat = e.target.closest('.seat[data-u]'), section = e.target.closest('a[data-section]');
  if (seat) {
    $('.seat[tabindex="0"]')?.setAttribute('tabindex', '-1');
    seat.setAttribute('tabindex', '0');
    press(Number(seat.dataset.u));
  } else if (section && map) {
    e.preventDefault();
    show(Number(section.dataset.section), true);
  }
});
root.addEventListener('keydown', e => {
  const seat = e.target.closest('.seat[data-u]');
  if (!seat) return;
  if (e.key === 'Enter' || e.key === ' ') {
    e.preventDefault();
    return press(Number(seat.dataset.u));
  }
  const next = step(seat, e.key);
  if (!next) return;
  e.preventDefault();
  seat.setAttribute('tabindex', '-1');
  next.setAttribute('tabindex', '0');
  next.focus();
});

$('#map-h').tabIndex = -1;
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
