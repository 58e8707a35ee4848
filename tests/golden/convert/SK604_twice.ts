export default { type: 'retention', "type": 'adoption' };
