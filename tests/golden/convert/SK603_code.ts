import { days, shared } from './shared';
export default defineLoop({
  ...shared,
  type: process.env.LOOP_TYPE,
  opinion: `After ${days} days`,
  owner,
  ['top' + 'ic']: 'news',
  when() { return true; },
  sample: 5 + '%',
  tags: [`growth`, tag('x'), undefined],
});
