/**
 * A loop in every spelling
 * that TypeScript takes.
 */
/* eslint-disable quotes */
const loop = {
  "type": "adoption" as const,
  // two lines
  // above
  'opinion': `It's "quoted" — #1: yes`, /* beside */
  steps: [
    // the only step
    {
      trigger: { type: 'schedule', cron: "@daily", timezone: <string>'Europe/Helsinki' },
      condition: `
        SELECT u.*   -- who: everybody
        FROM users u
          WHERE u.plan = 'it''s # free'
      `,
      action: ({
        type: 'email', template: "advanced_guide",
        personalization: {
          no: 'no', time: '21:00', octal: '010', empty: '', nothing: null, big: 1_000, less: -0.5, hex: 0xFF,
          tab: 'a\tb', emoji: '\u{1F600}\uD83D\uDE00', quote: 'it\'s', line: 'a\
b', yes: true, lines: 'one\ntwo\n', edge: ' edge ', colon: 'a: b', hash: 'a #b', jinja: "{{ user.name or 'there' }}",
        },
      }),
    },
  ],
  tags: [],
  recovery: { retries: 3, },
  // the end
} satisfies Loop;

export default defineLoop(loop!);
