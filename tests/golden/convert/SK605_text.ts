export default { type: '\ud800', opinion: '\1', holdout: 010 };
