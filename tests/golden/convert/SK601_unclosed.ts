export default defineLoop({
  type: 'retention',
  opinion: 'x',
  steps: [
    {
      trigger: { type: 'manual',
