/* A grid world and its agent in the browser, with the commands and states of a session on a server. */
const MOVES = [[-1, 0], [0, 1], [1, 0], [0, -1]];

class GridWorld {
  constructor(rows, starts, observation) {
    [this.rows, this.starts, this.kind] = [rows, starts, observation];
    this.shape = [rows.length, rows[0].length];
    this.cells = rows.flatMap((row, y) => [...row].flatMap((letter, x) => (letter === "#" ? [] : [[y, x]])));
    this.numbers = new Map(this.cells.map(([y, x], number) => [y * this.shape[1] + x, number]));
  }

  reset() {
    return this.starts[Math.floor(Math.random() * this.starts.length)];
  }

  /* The cell after a move; a move into a wall or off the map changes nothing. */
  next(state, action) {
    const [y, x] = [0, 1].map((axis) => this.cells[state][axis] + MOVES[action][axis]);
    if (y < 0 || x < 0 || y >= this.shape[0] || x >= this.shape[1]) return state;
    return this.numbers.get(y * this.shape[1] + x) ?? state;
  }

  observe(state) {
    const [y, x] = this.cells[state], [height, width] = this.shape;
    if (this.kind === "coordinates") return [y / Math.max(height - 1, 1), x / Math.max(width - 1, 1)];
    const size = this.kind === "one_hot" ? this.cells.length : height + width, hot = this.kind === "one_hot" ? [state] : [y, height + x];
    return Array.from({ length: size }, (_, index) => Number(hot.includes(index)));
  }

  draw(canvas, state, goal, colors) {
    const tile = Math.max(Math.floor(1024 / Math.max(...this.shape)), 4), context = canvas.getContext("2d");
    [canvas.height, canvas.width] = this.shape.map((side) => side * tile);
    this.rows.forEach((row, y) => [...row].forEach((letter, x) => {
      context.fillStyle = letter === "#" ? colors.walls : colors.lines;
      context.fillRect(x * tile, y * tile, tile, tile);
      context.fillStyle = letter === "#" ? colors.walls : colors.floor;
      context.fillRect(x * tile + 1, y * tile + 1, tile - 1, tile - 1);
    }));
    const center = (number) => this.cells[number].map((side) => (side + 0.5) * tile);
    const disc = (number, radius, color) => {
      const [y, x] = center(number);
      context.fillStyle = color;
      context.beginPath();
      context.arc(x, y, radius * tile, 0, 7);
      context.fill();
    };
    const square = (number, half, color) => {
      const [y, x] = center(number);
      context.fillStyle = color;
      context.beginPath();
      context.roundRect(x - half * tile, y - half * tile, 2 * half * tile, 2 * half * tile, tile / 8);
      context.fill();
    };
    square(goal, 0.42, colors.goal);
    square(goal, 0.3, colors.pale_goal);
    disc(state, 0.36, colors.rim);
    disc(state, 0.3, colors.agent);
  }
}

class LocalSession {
  constructor(model, handler) {
    [this.model, this.handler, this.goals] = [model, handler, model.description.goals];
    this.env = new GridWorld(model.rows, model.starts, model.observation);
    this.network = new Network(model.layers);
    [this.playing, this.fps, this.state] = [true, model.fps, this.env.reset()];
    this.start([model.first_goal]);
    setTimeout(() => {  // the page is ready to receive
      handler(model.description);
      this.publish();
      this.tick();
    });
  }

  send(command, argument = null) {
    const goal = Number.isInteger(argument) ? argument : this.goals.indexOf(argument);
    const commands = {
      go: () => { this.playing = true; this.start([goal]); },
      append: () => this.chain.push(goal),
      play: () => { this.playing = argument; },
      step: () => { this.playing = false; this.advance(); },
      reset: () => { this.state = this.env.reset(); this.start(this.chain, this.position); },
      fps: () => { this.fps = argument; },
      act: () => { this.playing = false; this.take(argument); },
    };
    if (["go", "append"].includes(command) && goal < 0) this.handler({ kind: "error", text: `There is no goal ${argument}.` });
    else commands[command]();
    this.publish();
    return true;
  }

  tick() {
    if (this.playing && this.advance()) this.publish();
    setTimeout(() => this.tick(), 1000 / this.fps);
  }

  start(chain, position = 0) {
    [this.chain, this.position, this.steps] = [chain, position, 0];
    this.outcome = this.state === chain[position] ? "reached" : "going";
  }

  advance() {
    if (this.outcome === "going") this.take(this.action());
    else if (this.position + 1 < this.chain.length) this.start(this.chain, this.position + 1);
    else return false;
    return true;
  }

  take(action) {
    this.state = this.env.next(this.state, action);
    this.steps += 1;
    this.outcome = this.state === this.chain[this.position] ? "reached" : this.steps < this.model.max_steps ? "going" : "missed";
  }

  /* Q-values of all actions for each goal, `[goals][actions]`. */
  values() {
    const outputs = this.network.forward(this.env.observe(this.state));
    return this.goals.map((_, goal) => MOVES.map((_, action) => outputs[action * this.goals.length + goal]));
  }

  action() {
    if (Math.random() < this.model.epsilon) return Math.floor(Math.random() * MOVES.length);
    const values = this.values()[this.chain[this.position]];
    return values.indexOf(Math.max(...values));
  }

  distances() {
    if (this.model.gamma >= 1) return null;  // values without discount have no number of steps
    return this.values().map((values) => {
      const steps = 1 + Math.log(Math.min(Math.max(...values), 1)) / Math.log(this.model.gamma);
      return steps <= 9999 ? steps : null;
    });
  }

  publish() {
    const { state } = this, goal = this.chain[this.position];
    const player = {
      frame: (canvas) => this.env.draw(canvas, state, goal, this.model.colors),
      position: this.position, steps: this.steps, outcome: this.outcome, distances: this.distances(), achieved: [state], point: null,
    };
    const chain = this.chain.map((number) => this.goals[number]);
    this.handler({ kind: "state", playing: this.playing, fps: this.fps, chain, players: [player] });
  }
}
