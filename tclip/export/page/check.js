// An ordinary script, which browsers run where they refuse modules: it says why the page would stay empty.
(function () {
  function say(text) {
    document.addEventListener("DOMContentLoaded", function () {
      var line = document.createElement("li");
      line.textContent = text;
      document.getElementById("problems").appendChild(line);
      document.getElementById("work").hidden = true;
    });
  }
  if (location.protocol === "file:") {
    say(
      "Browsers load such a page from a web server only. In this folder, run “python3 -m http.server” " +
        "and open http://localhost:8000.",
    );
  } else if (typeof WebAssembly !== "object" || typeof OffscreenCanvas !== "function") {
    say("This browser is too old for the page (it needs WebAssembly and OffscreenCanvas): update it.");
  }
})();
