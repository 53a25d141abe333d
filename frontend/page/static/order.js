// An order whose money is still being taken looks again until that is done, ever more slowly.
import { $, pause, swap } from './live.js';

for (let ms = 2000; $('#capturing'); ms = Math.min(30e3, ms * 1.5)) {
  await pause(ms);
  await swap();
}
