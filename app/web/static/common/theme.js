// Light or dark before the first paint: what was chosen on this device, else what the device prefers.
(() => {
  const KEY = "pickture.theme";
  const CHOICES = ["auto", "light", "dark"];
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  const chosen = () => {
    try {
      const kept = localStorage.getItem(KEY);
      return CHOICES.includes(kept) ? kept : "auto";
    } catch {
      return "auto"; // storage is switched off
    }
  };

  const apply = (choice) => {
    const dark = choice === "dark" || (choice === "auto" && system.matches);
    document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) {
      document.getElementById("theme-name").textContent = button.dataset[choice];
      button.title = button.dataset[choice];
    }
  };

  apply(chosen());
  system.addEventListener("change", () => apply(chosen()));
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    apply(chosen());
    let choice = chosen();
    button.addEventListener("click", () => {
      choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
      try {
        localStorage.setItem(KEY, choice);
      } catch {
        // storage is switched off: the choice lasts as long as the page
      }
      apply(choice);
    });
  });
})();
