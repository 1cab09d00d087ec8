// Resizing as PIL does it: separable filters whose support grows when a picture shrinks, weights in fixed point,
// every pass rounded to bytes. The same bytes as Image.resize, to the last one.
//
// Pixels are RGB, three bytes each, row by row.

const PRECISION_BITS = 22;
const ONE = 1 << PRECISION_BITS;

function cubic(x) {
  const a = -0.5; // of Keys' family of cubics, which is PIL's and not the browser's
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

// name: how far the filter reaches, and its value at a distance, which for all but box has no sign
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(1 - Math.abs(x), 0)],
  bicubic: [2, (x) => cubic(Math.abs(x))],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

// For each place of the result: the first pixel that it is made of, how many they are, and their weights.
function weights(from, to, filter) {
  const [reach, value] = FILTERS[filter];
  const step = from / to;
  const stretch = Math.max(step, 1);
  const support = reach * stretch;
  const most = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const weight = new Int32Array(to * most);
  for (let place = 0; place < to; place++) {
    const centre = (place + 0.5) * step;
    const begin = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), from);
    const raw = [];
    let sum = 0;
    for (let index = begin; index < end; index++) {
      // PIL multiplies by the reciprocal: a division would differ in the last bit
      raw.push(value((index - centre + 0.5) * (1 / stretch)));
      sum += raw[raw.length - 1];
    }
    raw.forEach((each, index) => {
      const share = sum === 0 ? each : each / sum;
      weight[place * most + index] = Math.trunc(share * ONE + (share < 0 ? -0.5 : 0.5));
    });
    first[place] = begin;
    count[place] = end - begin;
  }
  return { first, count, weight, most };
}

function byte(sum) {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function horizontally(pixels, width, height, target, filter) {
  const { first, count, weight, most } = weights(width, target, filter);
  const result = new Uint8ClampedArray(target * height * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < target; column++) {
      let red = ONE / 2;
      let green = ONE / 2;
      let blue = ONE / 2;
      let source = (row * width + first[column]) * 3;
      const base = column * most;
      for (let index = 0; index < count[column]; index++, source += 3) {
        const share = weight[base + index];
        red += pixels[source] * share;
        green += pixels[source + 1] * share;
        blue += pixels[source + 2] * share;
      }
      const place = (row * target + column) * 3;
      result[place] = byte(red);
      result[place + 1] = byte(green);
      result[place + 2] = byte(blue);
    }
  }
  return result;
}

function vertically(pixels, width, height, target, filter) {
  const { first, count, weight, most } = weights(height, target, filter);
  const stride = width * 3;
  const result = new Uint8ClampedArray(stride * target);
  for (let row = 0; row < target; row++) {
    const base = row * most;
    for (let column = 0; column < stride; column++) {
      let sum = ONE / 2;
      let source = first[row] * stride + column;
      for (let index = 0; index < count[row]; index++, source += stride) sum += pixels[source] * weight[base + index];
      result[row * stride + column] = byte(sum);
    }
  }
  return result;
}

// Resize RGB pixels; filter is one of box, bilinear, bicubic, lanczos.
export function resize(pixels, width, height, newWidth, newHeight, filter) {
  const across = (rows, source) =>
    width === newWidth ? source : horizontally(source, width, rows, newWidth, filter);
  const down = (columns, source) =>
    height === newHeight ? source : vertically(source, columns, height, newHeight, filter);
  // PIL from version 13 on first takes many rows away; bytes are rounded between, so the order shows
  const rowsFirst = newHeight < height && height - newHeight > 2 * (width - newWidth);
  return rowsFirst ? across(newHeight, down(width, pixels)) : down(newWidth, across(height, pixels));
}
