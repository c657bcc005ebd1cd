// The screen of a new part.
import { complain } from "./dom.js";
import { mount } from "./new.js";
import { begin } from "./shell.js";

try {
  await begin();
  mount();
} catch (fault) {
  complain(fault);
}
