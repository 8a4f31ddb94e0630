// A field for photos: files, a folder or a zip are chosen or dropped, and sent one by one.
(() => {
  const box = document.getElementById("TARGET");
  if (!box || box.ready) return;
  box.ready = true;
  const told = box.querySelector("[data-told]"), bar = box.querySelector("[data-bar]");
  const waiting = [], refused = [];
  let all = 0, done = 0, busy = 0, timer = 0;
  const PHOTO = /\.(png|jpe?g|jpe|jfif|bmp|dib|gif|tiff?|webp|avif|p[pgbn]m|jp2|tga|hei[cf]s?|hif|zip)$/i;
  const hidden = (name) => name.split("/").some((part) => part.startsWith("."));

  const tell = (final) => {
    told.textContent = all ? `${done} of ${all} files have arrived` : "";
    bar.style.width = all ? `${(100 * done) / all}%` : "0";
    bar.parentElement.hidden = !all || done === all;
    if (final || !timer) {
      clearTimeout(timer);
      timer = setTimeout(() => { timer = 0; }, 700);
      emitEvent("photos", { ticket: box.dataset.ticket, done, all, refused: refused.slice(0, 20), n: refused.length });
    }
  };
  const next = async () => {
    const [file, name] = waiting.shift() || [];
    if (!file) return;
    busy += 1;
    try {
      const address = `/photo-files/arriving/${box.dataset.ticket}?name=${encodeURIComponent(name)}`;
      const answer = await fetch(address, { method: "POST", body: file });
      if (answer.status === 413) {
        refused.push(`${name} is larger than 100 MB: choose the photos or their folder instead`);
      } else {
        const said = answer.ok ? await answer.json().catch(() => ({})) : {};
        if (!answer.ok || said.refused) refused.push(said.refused || name);
      }
    } catch { refused.push(`${name} did not arrive`); }
    busy -= 1;
    done += 1;
    tell(done === all);
    next();
  };
  const take = (files) => {
    for (const [file, name] of files) {
      if (hidden(name) || !PHOTO.test(name)) continue;
      waiting.push([file, name]);
      all += 1;
    }
    while (busy < 3 && waiting.length) next();
    tell(false);
  };
  const inside = (entry, path) => new Promise((resolve) => {
    if (entry.isFile) return entry.file((file) => resolve([[file, path + entry.name]]), () => resolve([]));
    const reader = entry.createReader(), found = [];
    const more = () => reader.readEntries(async (entries) => {
      if (!entries.length) return resolve((await Promise.all(found)).flat());
      found.push(...entries.map((one) => inside(one, `${path}${entry.name}/`)));
      more();
    }, () => resolve([]));
    more();
  });
  for (const input of box.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      take([...input.files].map((file) => [file, file.webkitRelativePath || file.name]));
      input.value = "";
    });
  }
  box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", async (event) => {
    event.preventDefault();
    box.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
    take((await Promise.all(entries.filter(Boolean).map((entry) => inside(entry, "")))).flat());
  });
})();
