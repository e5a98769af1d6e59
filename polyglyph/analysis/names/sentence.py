"""Sentences: the questions as a person would write them, for models that know languages.

The wording is ours, in the language that stands for each script; `{name}` is the city.
"""

from polyglyph.analysis.names.atlas import Fact
from polyglyph.analysis.names.relation import RelationName
from polyglyph.analysis.names.script import Script

QUESTIONS: dict[RelationName, dict[Script, str]] = {
    "country": {
        "Latn": "Which country is the city of {name} in? Answer with the country's name only.",
        "Cyrl": "В какой стране находится город {name}? Ответь только названием страны.",
        "Arab": "في أي دولة تقع مدينة {name}؟ أجب باسم الدولة فقط.",
        "Deva": "{name} शहर किस देश में है? उत्तर में केवल देश का नाम लिखें।",
        "Beng": "{name} শহরটি কোন দেশে অবস্থিত? উত্তরে শুধু দেশের নাম লিখুন।",
        "Hebr": "באיזו מדינה נמצאת העיר {name}? ענה בשם המדינה בלבד.",
        "Geor": "რომელ ქვეყანაში მდებარეობს ქალაქი {name}? უპასუხე მხოლოდ ქვეყნის სახელით.",
        "Grek": "Σε ποια χώρα βρίσκεται η πόλη {name}; Απάντησε μόνο με το όνομα της χώρας.",
        "Kana": "{name}という都市はどの国にありますか？国名だけで答えてください。",
    },
    "zone": {
        "Latn": "Which city is the time zone of {name} named after in the IANA database? Answer with its name only.",
        "Cyrl": "По какому городу назван часовой пояс города {name} в базе IANA? Ответь только его названием.",
        "Arab": "ما المدينة التي سميت باسمها المنطقة الزمنية لمدينة {name} في قاعدة بيانات IANA؟ أجب باسمها فقط.",
        "Deva": "IANA डेटाबेस में {name} शहर के समय क्षेत्र का नाम किस शहर पर है? उत्तर में केवल उसका नाम लिखें।",
        "Beng": "IANA ডেটাবেসে {name} শহরের সময় অঞ্চলের নাম কোন শহরের নামে? উত্তরে শুধু তার নাম লিখুন।",
        "Hebr": "על שם איזו עיר נקרא אזור הזמן של העיר {name} במסד הנתונים IANA? ענה בשמה בלבד.",
        "Geor": "რომელი ქალაქის სახელს ატარებს {name}-ის სასაათო სარტყელი IANA-ს ბაზაში? უპასუხე მხოლოდ სახელით.",
        "Grek": "Από ποια πόλη παίρνει το όνομά της η ζώνη ώρας της πόλης {name} στη βάση IANA; Μόνο το όνομά της.",
        "Kana": "IANAデータベースで{name}のタイムゾーンは何という都市名ですか？都市名だけで答えてください。",
    },
}


def ask(fact: Fact, script: Script) -> str:
    """Ask for a fact in the language that stands for a script the city has a name in."""
    return QUESTIONS[fact.relation.name][script].replace("{name}", fact.place.city.written(script))
