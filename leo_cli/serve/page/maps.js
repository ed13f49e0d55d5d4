/* Maps of the goals, colored by how near the agent expects them to be. */
const SIZE = 720, LAYER_SIZE = 280;  // pixels along the longer side of a map

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/* Convert expected steps to nearness: 1 for achieved, 0 for beyond most goals. The scale only grows, so that colors do not flicker. */
class Nearness {
  constructor() { this.farthest = 2; }

  update(distances) {
    const finite = distances.filter((steps) => steps !== null).sort((a, b) => a - b);
    if (finite.length) this.farthest = Math.max(this.farthest, 1.3 * finite[Math.floor(0.9 * (finite.length - 1))]);
  }

  of(steps) {
    return steps === null ? 0 : 1 - Math.min(Math.max(steps, 0), this.farthest) / this.farthest;
  }
}

/* One map per layer of goals of similar height. `pick` receives the id of the clicked goal, or the clicked point. */
class GoalMaps {
  constructor(map, pick, hover) {
    this.map = map;
    const [xs, ys] = [0, 1].map((axis) => map.points.map((point) => point[axis]));
    const margin = (Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) || 1) / 20;
    const [padX, padY] = map.cell ? map.cell.map((side) => side / 2) : [margin, margin];
    this.low = [Math.min(...xs) - padX, Math.min(...ys) - padY];
    this.high = [Math.max(...xs) + padX, Math.max(...ys) + padY];
    this.size = [0, 1].map((axis) => this.high[axis] - this.low[axis]);
    const pixels = map.layers.length > 1 ? LAYER_SIZE : SIZE;
    this.scale = pixels / Math.max(...this.size);
    this.radius = Math.min(Math.max(pixels / 3 / Math.sqrt(map.points.length), 6), 18);
    this.element = document.createElement("div");
    this.element.className = map.layers.length > 1 ? "layers" : "layer";
    this.canvases = map.layers.map(([title, goals]) => this.addLayer(title, goals, pick, hover));
  }

  addLayer(title, goals, pick, hover) {
    const figure = document.createElement("div"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = this.size.map((side) => Math.round(side * this.scale));
    canvas.className = "goal-map";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Map of the goals ${title}`.trim());
    canvas.addEventListener("click", (event) => {
      const target = this.target(event, canvas, goals);
      if (target !== null) pick(target, event.shiftKey);
    });
    canvas.addEventListener("pointermove", (event) => hover(this.nearest(this.pointOf(event, canvas), goals)));
    canvas.addEventListener("pointerleave", () => hover(null));
    figure.append(canvas, title);
    this.element.append(figure);
    return canvas;
  }

  locate([x, y]) {
    const down = (y - this.low[1]) * this.scale;
    return [(x - this.low[0]) * this.scale, this.map.down ? down : this.size[1] * this.scale - down];
  }

  /* The point of the map under the pointer, on a canvas of any size that shows the whole map. */
  pointOf(event, canvas) {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.x) / box.width, y = (event.clientY - box.y) / box.height, [width, height] = this.size;
    return [this.low[0] + x * width, this.map.down ? this.low[1] + y * height : this.high[1] - y * height];
  }

  /* The goal whose cell contains a point, or whose dot is near; null if there is none. */
  nearest([x, y], goals) {
    const reach = this.map.cell ? this.map.cell.map((side) => side / 2) : Array(2).fill((2 * this.radius) / this.scale);
    let best = null, least = Infinity;
    for (const goal of goals) {
      const dx = Math.abs(this.map.points[goal][0] - x), dy = Math.abs(this.map.points[goal][1] - y);
      if (dx <= reach[0] && dy <= reach[1] && dx + dy < least) [best, least] = [goal, dx + dy];
    }
    return best;
  }

  target(event, canvas, goals) {
    const point = this.pointOf(event, canvas);
    if (!this.map.any_point) return this.nearest(point, goals);
    if (!this.map.heights) return point;
    return [...point, goals.reduce((sum, goal) => sum + this.map.heights[goal], 0) / goals.length];
  }

  /* Draw the nearness of each goal (null for an agent without values), a ring around a goal and a disc where the agent is. */
  draw(nearness, ring, agent) {
    const none = css("--none"), accent = css("--accent"), layer = this.layerOf(agent);
    this.map.layers.forEach(([, goals], number) => {
      const canvas = this.canvases[number], context = canvas.getContext("2d");
      context.clearRect(0, 0, canvas.width, canvas.height);
      for (const goal of goals) {
        context.fillStyle = nearness ? COLORS[Math.round(nearness[goal] * (COLORS.length - 1))] : none;
        this.shape(context, this.map.points[goal]);
      }
      if (goals.includes(ring)) {  // red inside white is visible on every color
        this.disc(context, this.map.points[ring], 1.15, "transparent", "#fff", 10);
        this.disc(context, this.map.points[ring], 1.15, "transparent", "#b3261e", 5);
      }
      if (agent && number === layer) this.disc(context, agent, 0.8, accent, "#fff", 5);
    });
  }

  layerOf(agent) {
    if (!agent || !this.map.heights || agent.length < 3) return 0;
    const gaps = this.map.layers.map(([, goals]) => Math.min(...goals.map((goal) => Math.abs(this.map.heights[goal] - agent[2]))));
    return gaps.indexOf(Math.min(...gaps));
  }

  shape(context, point) {
    const [x, y] = this.locate(point);
    if (this.map.cell) {
      const [width, height] = this.map.cell.map((side) => side * this.scale);
      context.fillRect(x - width / 2 + 0.5, y - height / 2 + 0.5, width - 1, height - 1);
    } else {
      context.beginPath();
      context.arc(x, y, this.radius, 0, 7);
      context.fill();
    }
  }

  disc(context, point, size, fill, stroke, width) {
    const [x, y] = this.locate(point);
    const radius = this.map.cell ? Math.min(Math.max(0.4 * Math.min(...this.map.cell) * this.scale, 8), 24) : this.radius;
    context.beginPath();
    context.arc(x, y, size * radius, 0, 7);
    context.fillStyle = fill;
    context.fill();
    context.lineWidth = width;
    context.strokeStyle = stroke;
    context.stroke();
  }
}
