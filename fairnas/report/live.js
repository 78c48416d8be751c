// Asks the server for changes every few seconds; after one, reloads the page with the same scroll position and open parts.
(() => {
  "use strict";
  const KEY = "fairnas-live";
  const live = document.getElementById("live");
  const state = document.getElementById("live-state");
  const pause = document.getElementById("live-pause");
  const folded = () => [...document.querySelectorAll("details")];
  let paused = false;

  function keep() {
    const open = folded().map((each) => each.open);
    const chosen = document.getElementById("network")?.dataset.genome;
    sessionStorage.setItem(KEY, JSON.stringify({ top: window.scrollY, open, paused, chosen }));
  }

  function take() {
    history.scrollRestoration = "manual";
    const [entry] = performance.getEntriesByType("navigation");
    const kept = JSON.parse(sessionStorage.getItem(KEY) || "null");
    if (!kept || !entry || entry.type !== "reload") return;
    folded().forEach((each, number) => { each.open = Boolean(kept.open[number]); });
    if (kept.chosen) window.fairnasNetworks?.show(kept.chosen);
    show(kept.paused);
    window.scrollTo({ top: kept.top, behavior: "instant" });
  }

  function show(now) {
    paused = now;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
  }

  async function ask() {
    if (document.hidden || paused) return;
    let news;
    try {
      const answer = await fetch("version" + location.search, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      news = await answer.json();
    } catch {
      live.classList.add("stopped");
      state.textContent = "fairnas watch does not answer; this page is as it was when it last did";
      return;
    }
    live.classList.remove("stopped");
    state.textContent = news.line;
    // a reload would lose the text or the networks that the reader has marked
    const marking = !getSelection().isCollapsed || window.fairnasNetworks?.marking();
    if (news.version !== live.dataset.version && !marking && !paused) location.reload();
  }

  async function follow() {
    await ask();
    setTimeout(follow, 1000 * Number(live.dataset.seconds));
  }

  pause.addEventListener("click", () => { show(!paused); ask(); });
  document.addEventListener("visibilitychange", ask);
  window.addEventListener("pagehide", keep);
  take();
  follow();
})();
