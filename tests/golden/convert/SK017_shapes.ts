export default defineLoop({
  type: 'monetization',
  opinion: 'Free users who reach their limit upgrade',
  steps: [
    {
      trigger: { type: 'api', endpoint: '/reports' },
      condition: { type: 'usage', limit: 10 },
      action: { type: 'block', message: 'Upgrade' },
    },
  ],
});
