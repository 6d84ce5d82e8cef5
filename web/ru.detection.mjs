/** What a detector adds to the sentences in Russian, or says in their place. */

/** @type {import("./types.ts").Sentences} */
export default {
  lead: "Что и где на картинке? Ответ считается прямо на этом устройстве: картинка его не покидает.",
  "answer.waiting": "Выберите картинку, чтобы узнать, что на ней.",
  "list.confidence": "Лучшая оценка",
  "list.done": {
    one: "{n} картинка: найдено на {sure}, ничего на {unsure}, без ответа {failed}.",
    few: "{n} картинки: найдено на {sure}, ничего на {unsure}, без ответа {failed}.",
    other: "{n} картинок: найдено на {sure}, ничего на {unsure}, без ответа {failed}.",
  },
  "model.threshold": "Показывает рамки от",
  "model.always": "любой оценки",
  "model.accuracy": {
    one: "mAP50 {map50}, mAP {map} на {n} картинке",
    other: "mAP50 {map50}, mAP {map} на {n} картинках",
  },
  "boxes.found": { one: "Найдено: {n}", other: "Найдено: {n}" },
  "boxes.nothing": "Ничего не найдено",
  "boxes.below": "Ни одна рамка не набрала {threshold}: с этой оценки модель их показывает.",
  "boxes.class": "Класс",
  "boxes.score": "Оценка",
  "boxes.corners": "x1 y1 x2 y2",
  "boxes.spoken": { one: "{name}: найдено {n}, {who}.", other: "{name}: найдено {n}, {who}." },
  "boxes.spokenNothing": "{name}: ничего не найдено.",
};
