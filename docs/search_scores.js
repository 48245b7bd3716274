// How results of the search are ordered: what answers a question, then the names that users call, then the rest.
var Scorer = {
  score: ([page, title, anchor, text, score]) => {
    if (page.startsWith("guides/") || page.startsWith("start/")) return score + 12;
    if (page.startsWith("theory/") || page.startsWith("gallery/")) return score + 6;
    if (page.startsWith("api/inside") || page === "changelog") return score - 20;
    return score;
  },
  // as Sphinx has them
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
