// SPDX-License-Identifier: Apache-2.0
//
// Keeps the page current: after each event, and now and then for what has no event (an agent that
// becomes busy, a clock), a newer rendering is fetched and put in the place of the older one, node
// by node, so that what a person has selected, focused or scrolled to stays.
"use strict";
(() => {
  const soonest = 1000; // between two renderings, in milliseconds
  const latest = 5000;
  const link = document.getElementById("link");
  let live = document.getElementById("live");
  let skew = 0; // of this machine's clock
  let last = 0;
  let timer = 0;
  let connected = false;

  function say(state, text) {
    if (link.dataset.link !== state) {
      link.dataset.link = state;
      link.textContent = text;
    }
  }

  // morph makes an old element look like a new one, and keeps what is the same.
  function morph(old, now) {
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const byKey = new Map();
    for (const child of old.children) {
      if (child.dataset.key) byKey.set(child.dataset.key, child);
    }
    let at = old.firstChild;
    for (const wanted of [...now.childNodes]) {
      const kept = wanted.nodeType === Node.ELEMENT_NODE && wanted.dataset.key
        ? byKey.get(wanted.dataset.key)
        : at;
      if (kept && kept.nodeName === wanted.nodeName && sameKey(kept, wanted)) {
        if (kept === at) at = at.nextSibling;
        else old.insertBefore(kept, at);
        if (wanted.nodeType === Node.ELEMENT_NODE) morph(kept, wanted);
        else if (kept.nodeValue !== wanted.nodeValue) kept.nodeValue = wanted.nodeValue;
      } else {
        old.insertBefore(document.importNode(wanted, true), at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  function sameKey(a, b) {
    return a.nodeType !== Node.ELEMENT_NODE || a.dataset.key === b.dataset.key;
  }

  function age(seconds) {
    if (seconds < 1) return "0 s";
    if (seconds < 120) return Math.floor(seconds) + " s";
    if (seconds < 7200) return Math.floor(seconds / 60) + " min";
    if (seconds < 172800) return Math.floor(seconds / 3600) + " h";
    return Math.floor(seconds / 86400) + " d";
  }

  function tick() {
    for (const t of document.querySelectorAll("time[data-ago]")) {
      const text = age((Date.now() - skew - Date.parse(t.dateTime)) / 1000);
      if (t.textContent !== text) t.textContent = text;
    }
  }

  function setClock() {
    skew = Date.now() - Date.parse(live.dataset.now);
    if (Math.abs(skew) < 3000) skew = 0; // the way here takes time as well
  }

  async function refresh() {
    timer = 0;
    last = Date.now();
    try {
      const answer = await fetch("fleet", { cache: "no-store" });
      if (answer.status === 401) {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      morph(live, page.getElementById("live"));
      setClock();
      tick();
      if (connected) say("live", "live");
    } catch {
      say("lost", "no answer; this is old");
    }
    plan(latest);
  }

  function plan(wait) {
    const due = Math.max(last + soonest, Date.now() + wait);
    if (timer) clearTimeout(timer);
    timer = setTimeout(refresh, document.hidden ? 60000 : due - Date.now());
  }

  function watch() {
    const events = new EventSource("api/v1/events/watch?after=" + live.dataset.event);
    events.onopen = () => {
      connected = true;
      say("live", "live");
    };
    events.onmessage = () => plan(100);
    events.onerror = () => {
      connected = false;
      say("lost", "connection lost; this is old");
      if (events.readyState === EventSource.CLOSED) setTimeout(watch, latest);
    };
  }

  document.addEventListener("visibilitychange", () => plan(0));
  setClock();
  setInterval(tick, 1000);
  plan(latest);
  watch();
})();
