export const loop = { type: 'retention' };
