/* The page: draws what a session describes and sends it commands. The session is on a server, or runs in the browser. */
const MAX_LISTED = 150;
const find = (id) => document.getElementById(id);

function make(name, attributes = {}, ...content) {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...content);
  return element;
}

function stepsText(steps) {
  return steps === null ? "never" : `${Math.round(Math.max(steps, 0))}`;
}

/* Frame, map and outcome of the agent of one run. */
class AgentView {
  constructor(label, note, description, view) {
    this.description = description;
    this.unreachable = new Set(description.unreachable);
    this.nearness = new Nearness();
    this.outcome = make("span", { className: "outcome" });
    this.canvas = make("canvas", { className: "frame" });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `The agent ${label} in its environment`);
    this.views = make("div", { className: "views" }, note ? make("p", { className: "note" }, note) : this.canvas);
    this.readout = make("p", { className: "readout note" });
    if (description.map) this.addMaps(view);
    this.element = make("figure", { className: "card agent" }, make("figcaption", {}, make("b", {}, label), this.outcome), this.views);
    if (description.map) this.element.append(this.readout);
    this.isDrawing = false;
  }

  addMaps(view) {
    const { map } = this.description;
    this.maps = new GoalMaps(map, (target, append) => view.command(target, append), (goal) => this.hover(goal));
    this.views.append(this.maps.element);
    if (!map.on_frame) return;
    this.canvas.classList.add("clickable");
    this.canvas.addEventListener("click", (event) => {
      const target = this.maps.target(event, this.canvas, map.layers[0][1]);
      if (target !== null) view.command(target, event.shiftKey);
    });
  }

  draw(state, chain) {
    this.state = state;
    this.drawFrame(state.frame);
    this.outcome.textContent = this.outcomeText(state, chain[state.position]);
    this.outcome.dataset.outcome = state.outcome;
    // Values of goals that cannot be reached were never learned; they must not set the scale.
    if (state.distances) this.nearness.update(state.distances.filter((_, goal) => !this.unreachable.has(goal)));
    if (this.maps) this.drawMaps(chain);
  }

  drawMaps(chain) {
    const { state, description } = this;
    const ring = description.goals.indexOf(chain[state.position]);
    const here = state.achieved.find((goal) => goal < description.map.points.length);
    const agent = state.point || (description.map.cell && here !== undefined ? description.map.points[here] : null);
    this.maps.draw(state.distances && state.distances.map((steps) => this.nearness.of(steps)), ring, agent);
    this.hover(this.hovered);
  }

  hover(goal) {
    this.hovered = goal;
    if (goal === null || goal === undefined || !this.state) {
      this.readout.textContent = this.state && this.state.distances ? "Map: yellow is near, dark is far, by the agent's own values." : "";
      return;
    }
    const steps = this.state.distances && this.state.distances[goal];
    const expected = !this.state.distances ? "" : steps === null ? ": never reached" : `: ${stepsText(steps)} expected steps`;
    this.readout.textContent = this.description.goals[goal] + expected;
  }

  outcomeText({ outcome, steps }, goal) {
    const count = `${steps} step${steps === 1 ? "" : "s"}`;
    if (outcome === "reached") return `reached ${goal} in ${count}`;
    if (outcome === "missed") return `${goal} not reached in ${count}`;
    if (outcome === "over") return `episode over after ${count}, ${goal} not reached`;
    return `to ${goal}, ${count}`;
  }

  /* Draw a frame: a data URI of an image, or a function that draws on the canvas. Frames that arrive meanwhile are skipped but the last. */
  async drawFrame(frame) {
    if (typeof frame === "function") return frame(this.canvas);
    this.next = frame;
    if (this.isDrawing) return;
    this.isDrawing = true;
    while (this.next) {
      const image = new Image();
      [image.src, this.next] = [this.next, null];
      await image.decode();
      if (this.canvas.width !== image.width) this.canvas.width = image.width;
      if (this.canvas.height !== image.height) this.canvas.height = image.height;
      this.canvas.getContext("2d").drawImage(image, 0, 0);
    }
    this.isDrawing = false;
  }
}

/* All goals, filtered by the search, each with a bar of how near the first agent expects it to be. */
class GoalList {
  constructor(goals, unreachable, view) {
    [this.goals, this.unreachable, this.view, this.rows] = [goals, new Set(unreachable), view, new Map()];
    find("search").placeholder = `Search ${goals.length} goals`;
    this.filter();
  }

  filter() {
    const text = find("search").value.trim().toLowerCase();
    this.found = this.goals.map((_, goal) => goal).filter((goal) => this.goals[goal].toLowerCase().includes(text));
    this.sort();
  }

  sort() {
    const { distances } = this, rank = (goal) => distances[goal] ?? Infinity;
    const order = find("nearest").checked && distances ? [...this.found].sort((a, b) => rank(a) - rank(b) || a - b) : this.found;
    this.rows = new Map(order.slice(0, MAX_LISTED).map((goal) => [goal, this.row(goal)]));
    find("goals").replaceChildren(...[...this.rows.values()].map(({ item }) => item));
    const hidden = order.length - this.rows.size;
    find("more").textContent = hidden > 0 ? `${hidden} more: search to see them` : order.length ? "" : "No goal has this text in its name.";
    this.draw();
  }

  row(goal) {
    const bar = make("i"), steps = make("span", { className: "steps" });
    const go = make("button", { type: "button", className: "go", title: "Go there" }, make("span", { className: "name" }, this.goals[goal]), steps, bar);
    const append = make("button", { type: "button", className: "append", title: "Add to the chain" }, "+");
    append.setAttribute("aria-label", `Add ${this.goals[goal]} to the chain`);
    go.addEventListener("click", (event) => this.view.command(goal, event.shiftKey));
    append.addEventListener("click", () => this.view.send("append", goal));
    const item = make("li", { className: this.unreachable.has(goal) ? "unreachable" : "" }, go, append);
    if (this.unreachable.has(goal)) go.title = "Cannot be reached from the start";
    return { item, bar, steps };
  }

  update(player, nearness, current) {
    [this.distances, this.nearness, this.achieved, this.current] = [player.distances, nearness, new Set(player.achieved), current];
    // Sorted again only when something was reached: rows that move at every step cannot be clicked.
    const key = `${player.outcome} ${player.position}`;
    if (find("nearest").checked && key !== this.key) this.sort(); else this.draw();
    this.key = key;
  }

  draw() {
    for (const [goal, { item, bar, steps }] of this.rows) {
      const distance = this.distances ? this.distances[goal] : undefined;
      bar.style.transform = `scaleX(${distance === undefined ? 0 : this.nearness.of(distance).toFixed(3)})`;
      steps.textContent = distance === undefined ? "" : stepsText(distance);
      item.toggleAttribute("data-achieved", Boolean(this.achieved && this.achieved.has(goal)));
      item.toggleAttribute("data-current", this.goals[goal] === this.current);
    }
  }
}

class View {
  constructor(makeSession) {
    this.state = null;
    this.session = makeSession((message) => this.receive(message));
    this.listen();
  }

  receive(message) {
    if (message.kind === "hello") this.build(message);
    else if (message.kind === "state") this.draw(message);
    else if (message.kind === "error") this.say(message.text);
    else this.showStatus(message);
  }

  build(description) {
    this.description = description;
    document.body.classList.toggle("compared", description.labels.length > 1);
    this.agents = description.labels.map((label, number) => new AgentView(label, description.notes[number], description, this));
    find("agents").replaceChildren(...this.agents.map((agent) => agent.element));
    this.list = new GoalList(description.goals, description.unreachable, this);
    find("steer").hidden = !description.actions.length;
    find("keys").replaceChildren(...description.actions.map(([key, name, action]) => {
      const button = make("button", { type: "button" }, make("kbd", {}, key === " " ? "space" : key === "\t" ? "tab" : key), name);
      button.addEventListener("click", () => this.send("act", action));
      return button;
    }));
    this.steer(false);
  }

  draw(state) {
    this.state = state;
    this.agents.forEach((agent, number) => agent.draw(state.players[number], state.chain));
    const first = state.players[0];
    this.list.update(first, this.agents[0].nearness, state.chain[first.position]);
    find("play").textContent = state.playing ? "Pause" : "Play";
    find("play").title = `${state.playing ? "Pause" : "Play"} (space)`;
    if (document.activeElement !== find("speed")) find("speed").value = state.fps;
    find("rate").textContent = `${Math.round(state.fps)} step${Math.round(state.fps) === 1 ? "" : "s"}/s`;
    this.drawChain(state);
  }

  drawChain({ chain, players }) {
    find("chain").hidden = chain.length < 2;
    find("chain").replaceChildren(...chain.map((goal, number) => {
      const item = make("li", {}, goal), { position, outcome } = players[0];
      item.dataset.state = number < position || (number === position && outcome === "reached") ? "past" : number === position ? "current" : "next";
      return item;
    }));
  }

  showStatus({ connected, reason }) {
    document.body.classList.toggle("lost", !connected);
    find("status").textContent = connected ? "connected" : reason || "connection lost, trying again";
  }

  say(text) {
    find("message").textContent = text;
    find("message").hidden = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { find("message").hidden = true; }, 6000);
  }

  send(command, argument) {
    if (!this.session.send(command, argument)) this.say("Not sent: there is no connection.");
  }

  /* Command a goal: an id, a point or a text. */
  command(goal, append = false) {
    this.send(append || find("append").checked ? "append" : "go", goal);
  }

  steer(on) {
    this.steering = on && this.description.actions.length > 0;
    find("keys").hidden = !this.steering;
    find("steer").setAttribute("aria-pressed", String(this.steering));
  }

  listen() {
    const buttons = {
      play: () => this.state && this.send("play", !this.state.playing),
      step: () => this.send("step"),
      reset: () => this.send("reset"),
      steer: () => this.description && this.steer(!this.steering),
    };
    for (const [id, press] of Object.entries(buttons)) find(id).addEventListener("click", press);
    find("speed").addEventListener("input", () => this.send("fps", Number(find("speed").value)));
    for (const id of ["search", "nearest"]) find(id).addEventListener("input", () => this.list && this.list.filter());
    find("find").addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    document.addEventListener("keydown", (event) => this.press(event, buttons));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.state && this.draw(this.state));
  }

  /* Enter in the search goes to the first goal found; if any point is a goal, to the typed coordinates. */
  submit() {
    const text = find("search").value.trim();
    const exact = this.description.goals.indexOf(text);
    const [first] = this.list.rows.keys();
    if (text) this.command(exact >= 0 ? exact : first ?? text);
  }

  press(event, buttons) {
    const isField = event.target.matches("input[type=search], input[type=range]");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isField) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const shortcuts = { ".": buttons.step, r: buttons.reset, k: buttons.steer, "/": () => find("search").focus() };
    if (!event.target.matches("button, input")) shortcuts[" "] = buttons.play;  // which a space presses itself
    const handled = this.steering ? this.pressAction(event.key) : shortcuts[event.key];
    if (!handled) return;
    event.preventDefault();
    handled();
  }

  /* The command for a key while steering: arrows are w, a, s and d where these are actions. */
  pressAction(key) {
    if (key === "Escape") return () => this.steer(false);
    const arrows = { ArrowUp: "w", ArrowLeft: "a", ArrowDown: "s", ArrowRight: "d" };
    const name = key === "Tab" ? "\t" : arrows[key] || key;
    const found = this.description.actions.find(([known]) => known === name);
    return found && (() => this.send("act", found[2]));
  }
}
