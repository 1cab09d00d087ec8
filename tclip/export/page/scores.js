// What embeddings say of each other. They are L2-normalised, so their product is the cosine.

export function cosine(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index++) sum += one[index] * other[index];
  return sum;
}

// How likely each text is for a picture: against each other, or each by itself where the model has a bias (SigLIP).
export function probabilities(cosines, { logit_scale: scale, logit_bias: bias }) {
  const logits = cosines.map((each) => scale * each + (bias ?? 0));
  if (bias !== null) return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const largest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - largest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
