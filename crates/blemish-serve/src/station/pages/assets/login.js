// The token, asked for once; the server keeps it in a cookie that scripts cannot read.
import { at, author, complain, notice, words } from "./dom.js";
import { post } from "./api.js";

author(at("author"));
at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await post("/login", { token: at("token").value.trim(), name: at("author").value.trim() || undefined });
    const to = new URLSearchParams(location.search).get("to") ?? "/";
    // Only to a page of ours.
    location.assign(/^\/(?![/\\])/.test(to) ? to : "/");
  } catch (fault) {
    at("token").value = "";
    at("token").focus();
    if (fault.status === 401) notice(words.login.wrong, { bad: true }); else complain(fault);
  }
});
