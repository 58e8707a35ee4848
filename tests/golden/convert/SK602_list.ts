export default [defineLoop({ type: 'retention' }), defineLoop({ type: 'adoption' })];
