// The checkout: Pay begins the payment and confirms it with the provider; then the server is asked, which asks the bank.
// What the provider tells the browser is a hint.
import { $, $$, api, key, pause, retryAfter, say, trouble } from './live.js';

const root = $('#checkout'), data = root?.dataset, hold = data && `/api/v1/holds/${data.hold}`;
const form = $('#pay'), direct = $('#pay-again'), secret = direct?.elements.client_secret.value;
const back = () => new URL(data.return || location.href, location.href).href;
let stripe, elements, begun, asking;

if (data?.provider === 'stripe' && (form || direct) && window.Stripe) {
  stripe = window.Stripe(data.key);
  const appearance = { theme: matchMedia('(prefers-color-scheme: dark)').matches ? 'night' : 'stripe' };
  elements = stripe.elements(direct ? { clientSecret: secret, appearance }
    : { mode: 'payment', amount: Number(data.amount), currency: data.currency, captureMethod: 'manual', appearance });
  elements.create('payment').mount('#payment-element');
}

function fail(text) {
  const note = $('#pay-said');
  busy(false);
  note.textContent = text;
  note.hidden = false;
}

function busy(is) {
  const button = $('#checkout button.main');
  if (button) button.disabled = is;
  if (is) $('#pay-said').hidden = true;
}

// begin freezes the amount; pressing Pay again after a declined card goes on with the same attempt.
async function begin() {
  if (begun) return begun;
  const f = form.elements;
  const r = await api('POST', `${hold}/checkout`, { mail: f.mail.value, name: f.name.value, promo: f.promo.value, method: 'card' }, asking ||= key());
  if (!r.ok) {
    if (r.status) asking = null; // decided: another press is another request
    const field = f[r.body.error?.field];
    field?.setAttribute?.('aria-invalid', 'true');
    field?.focus?.();
    fail(trouble(r));
    return null;
  }
  for (const name of ['mail', 'name', 'promo']) f[name].readOnly = true;
  return begun = r.body;
}

async function confirmStripe(clientSecret) {
  const { error } = await stripe.confirmPayment({
    elements, clientSecret: direct ? undefined : clientSecret, confirmParams: { return_url: back() }, redirect: 'if_required',
  });
  return error && error.type !== 'api_connection_error' ? error.message : '';
}

async function confirmSandbox(secret, method) {
  const asked = new URLSearchParams({ key: data.key, client_secret: secret, payment_method: method, return_url: back() });
  try {
    const r = await fetch(`${data.sandbox}/v1/payment_intents/${secret.split('_secret_')[0]}/confirm`, { method: 'POST', body: asked });
    const answer = await r.json(), next = answer.next_action?.redirect_to_url?.url;
    if (next) location.assign(next);
    return r.status === 402 || r.status === 400 ? answer.error.message : '';
  } catch {
    return ''; // no answer is not a no: the server asks
  }
}

// ask repeats "how did it go?" until it is known.
async function ask() {
  say('We are asking the bank how it went.');
  for (;;) {
    const r = await api('POST', data.confirm, {});
    if (r.body.order) return location.assign(r.body.url || `/o/${r.body.order}`);
    if (r.body.state === 'failed') begun = asking = null; // the attempt is over; after a declined card it is not
    if (/failed|declined/.test(r.body.state)) return fail(r.body.message);
    if (r.body.state === 'lapsed' || [404, 409, 410].includes(r.status)) return location.reload();
    await pause(retryAfter(r, 1500));
  }
}

form?.addEventListener('submit', async e => {
  if (e.submitter?.value === 'promo') return;
  if (data.provider === 'stripe' && !stripe) return;
  e.preventDefault();
  $$('input', form).forEach(input => input.removeAttribute('aria-invalid'));
  if (!form.reportValidity()) return;
  busy(true);
  if (stripe) {
    const { error } = await elements.submit();
    if (error) return fail(error.message);
  }
  const b = await begin();
  if (!b) return;
  if (b.order) return location.assign(b.url || `/o/${b.order}`);
  pay(b.client_secret, form.elements.method?.value);
});

async function pay(secret, method) {
  const wrong = stripe ? await confirmStripe(secret) : data.provider === 'sandbox' ? await confirmSandbox(secret, method) : '';
  if (wrong) fail(wrong);
  else ask();
}

direct?.addEventListener('submit', e => {
  e.preventDefault();
  busy(true);
  pay(secret, direct.elements.payment_method?.value);
});

if (root && !form && !direct) ask();
