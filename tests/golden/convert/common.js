'use strict';
module.exports = {
  type: 'retention', opinion: 'CommonJS',
  steps: [{ trigger: { type: 'manual' }, condition: "SELECT 1 AS id, 'a' AS email", action: { type: 'email', template: 'hello' } }],
};
