export default defineLoop({
  type: 'retention',
  opinion: ,
});
