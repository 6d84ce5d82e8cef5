/** What a forecaster adds to the sentences in Russian, or says in their place. */

/** @type {import("./types.ts").Sentences} */
export default {
  lead: "Как продолжится ряд? Ответ считается прямо на этом устройстве: значения его не покидают.",
  skip: "Перейти к ряду",
  "drop.title": "Перетащите CSV сюда",
  "drop.hint": "вставьте его строки из буфера или выберите файл ниже. Несколько сразу составят список.",
  "touch.title": "Нажмите, чтобы выбрать CSV",
  choose: "Выбрать файлы CSV",
  "answer.heading": "Прогноз",
  "answer.waiting": "Выберите CSV, чтобы узнать продолжение.",
  "answer.looking": "Читаю {name} …",
  "list.heading": "Все ряды",
  "list.picture": "Ряд",
  "list.answer": "Следующее значение",
  "list.confidence": "Интервалы",
  "list.done": {
    one: "{n} ряд: прогнозов {sure}, без ответа {failed}.",
    few: "{n} ряда: прогнозов {sure}, без ответа {failed}.",
    other: "{n} рядов: прогнозов {sure}, без ответа {failed}.",
  },
  "model.summary": {
    one: "{name}, на {n} шаг вперёд, {device}",
    few: "{name}, на {n} шага вперёд, {device}",
    other: "{name}, на {n} шагов вперёд, {device}",
  },
  "model.accuracy": {
    one: "RMSE {rmse}, MAE {mae}, MASE {mase} по {n} прогнозу",
    other: "RMSE {rmse}, MAE {mae}, MASE {mase} по {n} прогнозам",
  },
  "load.ready": {
    one:
      "Готово. Модели нужен CSV со столбцами «{time}» и «{value}», с шагом {frequency} и без пропусков в последних {window} " +
      "значениях; она предсказывает {n} шаг.",
    few:
      "Готово. Модели нужен CSV со столбцами «{time}» и «{value}», с шагом {frequency} и без пропусков в последних {window} " +
      "значениях; она предсказывает {n} шага.",
    other:
      "Готово. Модели нужен CSV со столбцами «{time}» и «{value}», с шагом {frequency} и без пропусков в последних {window} " +
      "значениях; она предсказывает {n} шагов.",
  },
  "note.modelChanged": "Теперь {name}. Ряды предсказываются заново.",
  "series.pasted": "вставленное.csv",
  "series.next": "{time}, следующее значение. {promised}",
  "series.between": "от {low} до {high}",
  "series.cost": "{time} · {device} · значений: {n}, из них просмотрены последние {window}",
  "series.table": "Прогноз по шагам",
  "series.time": "Время",
  "series.value": "Значение",
  "series.spoken": {
    one: "{name}: {value} на {time}, {promised}.",
    other: "{name}: значений {n}, от {value} на {time} ({promised}) до {last} на {end}.",
  },
  "error.noFiles": "Ни файла, ни текста не нашлось. Скопируйте строки CSV или перетащите его файл.",
  "error.noText": "Этот файл не текст. Сохраните ряд как CSV.",
  "error.oneColumn":
    "В этом файле один столбец, «{name}». Нужны столбец времени и столбец значений через запятую, точку с запятой, табуляцию или |.",
  "error.moreCells": "В строках этого файла больше ячеек, чем названий в заголовке.",
  "error.noValues": "В этом файле есть заголовок, но нет значений.",
  "error.noColumn": "В этом файле нет столбца «{name}». Есть: {names}.",
  "error.noTime": "Ни в одной строке нет времени, которое удалось бы прочитать; первое: «{text}».",
  "error.frequency": "Эта страница не знает шага «{frequency}». Его знает «springfield predict».",
  "error.timeFormat": "Эта страница не знает времени в виде «{format}». Его знает «springfield predict».",
  "error.noZone": "«{text}»: время без пояса, хотя у других он есть. Укажите его у всех.",
  "error.irregular": "Большинство времён не с шагом {frequency}, например {time} после {first}.",
  "error.tooLong": "Здесь больше миллиона шагов по {frequency}.",
  "error.tooShort": "В этом файле слишком мало значений: {n}. Прогнозу нужно {window}.",
  "error.hole": "Нет значения на {time}, а прогнозу оно нужно.",
};
