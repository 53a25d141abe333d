// The proof of work that some sales ask for before joining: a number that makes SHA-256(challenge:number) begin with so
// many zero bits.
import { $, say } from './live.js';

async function work(challenge, bits) {
  const text = new TextEncoder(), zeros = async n => {
    const hash = await crypto.subtle.digest('SHA-256', text.encode(`${challenge}:${n}`));
    return Math.clz32(new DataView(hash).getUint32(0));
  };
  for (let n = 0; ; n += 512) {
    const found = (await Promise.all(Array.from({ length: 512 }, (_, i) => zeros(n + i)))).findIndex(z => z >= bits);
    if (found >= 0) return n + found;
  }
}

document.addEventListener('submit', async e => {
  const form = e.target, { work: answer } = form.elements;
  if (!form.dataset.challenge || answer.value || !crypto.subtle) return;
  e.preventDefault();
  const button = $('button', form);
  button.disabled = true;
  button.textContent = 'One moment …';
  say('One moment.');
  answer.value = await work(form.dataset.challenge, Math.min(32, form.dataset.bits));
  form.submit();
});
