/* The forward pass of a Q-network, from exported weights. */

/* Decode base64 to little-endian float32. */
function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(4 * index, true));
}

const LAYERS = {
  linear({ weight, bias }, inputs) {
    const width = inputs.length;
    return Float64Array.from(bias, (start, row) => {
      let sum = start;
      for (let column = 0; column < width; column++) sum += weight[row * width + column] * inputs[column];
      return sum;
    });
  },
  layer_norm({ weight, bias, epsilon }, inputs) {
    const mean = inputs.reduce((sum, value) => sum + value, 0) / inputs.length;
    const variance = inputs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / inputs.length;
    const scale = 1 / Math.sqrt(variance + epsilon);
    return inputs.map((value, index) => (value - mean) * scale * weight[index] + bias[index]);
  },
  relu: (_, inputs) => inputs.map((value) => Math.max(value, 0)),
  tanh: (_, inputs) => inputs.map(Math.tanh),
  sigmoid: (_, inputs) => inputs.map((value) => 1 / (1 + Math.exp(-value))),
};

class Network {
  constructor(layers) {
    this.layers = layers.map((layer) => ({
      ...layer,
      weight: layer.weight && floats(layer.weight),
      bias: layer.bias && floats(layer.bias),
    }));
  }

  /* Compute the Q-values of all actions and goals, action by action. */
  forward(observation) {
    return this.layers.reduce((inputs, layer) => LAYERS[layer.kind](layer, inputs), Float64Array.from(observation));
  }
}
