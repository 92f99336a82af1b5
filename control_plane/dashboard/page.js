// The first page: live picture, events, people.

import { byId } from "./dom.js";
import { Events } from "./events.js";
import { Live } from "./live.js";
import { People } from "./people.js";
import { Stream } from "./stream.js";

const STATES = { live: "Connected", waiting: "Reconnecting" };

const events = new Events();
const people = new People();
const live = new Live((lens) => stream.watch(lens));
const stream = new Stream({
  state(state) {
    const pill = byId("connection");
    pill.textContent = STATES[state];
    pill.dataset.state = state;
  },
  cameras: (list) => live.cameras(list),
  event: (event) => events.add(event),
  frame: (header, jpeg) => live.frame(header, jpeg),
});

/** The stream goes on from where the list of events ends, and so it waits for it. */
async function start() {
  try {
    stream.start(await events.start());
    await people.show();
  } catch {
    setTimeout(start, 1000);
  }
}

start();
