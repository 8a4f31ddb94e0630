// A canvas to draw a digit on; what is drawn goes to the server when the pen is lifted.
(() => {
  const canvas = document.getElementById("drawing");
  if (!canvas || canvas.ready) return;
  canvas.ready = true;
  const pen = canvas.getContext("2d");
  window.insphereClear = () => {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, canvas.width, canvas.height);
  };
  insphereClear();
  Object.assign(pen, { lineWidth: 20, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
  let drawing = false;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  canvas.addEventListener("pointerdown", (event) => {
    drawing = true;
    canvas.setPointerCapture(event.pointerId);
    pen.beginPath();
    pen.moveTo(...place(event));
    pen.lineTo(...place(event));
    pen.stroke();
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    pen.lineTo(...place(event));
    pen.stroke();
  });
  const done = () => {
    if (!drawing) return;
    drawing = false;
    emitEvent("drawn", canvas.toDataURL("image/png"));
  };
  canvas.addEventListener("pointerup", done);
  canvas.addEventListener("pointercancel", done);
})();
