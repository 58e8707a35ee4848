// What people write around a loop that is still data.
import { defineLoop } from '@skene/sdk';

const loop = defineLoop({
  ['type']: 'retention' as const,
  opinion: 'Long sentences are ' + "put together, " + `piece by piece`,
  steps: [
    {
      trigger: { type: 'manual' } satisfies Trigger,
      condition: ('SELECT * ' + 'FROM users ') + 'WHERE active',
      action: { type: 'email', template: 're_engagement' }!,
    },
  ],
});
export default loop;
