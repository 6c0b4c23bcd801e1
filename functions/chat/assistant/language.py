"""Which language is a text in? By script, else by the small words that every sentence is full of."""

import re
import unicodedata
from collections import Counter

WORD = re.compile(r"[^\W\d_]+")
LEAST = 2  # small words of a language that must be there before it is named

# The most frequent function words; those that several languages share are left to the ones they are commonest in.
SMALL_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the and is are was were i you my your we it this that of to for with not have has do does did can what "
        "where when how why please on in at from be will would could there an or but me a still am",
        "de": "der die das und ist sind war ich du sie wir nicht ein eine einen mein meine wo wann wie warum bitte mit "
        "für auf von zu haben habe hat kann auch noch aber dass wurde wird ihr es",
        "fr": "le la les et est sont je tu vous nous ne pas un une mon ma mes où quand comment pourquoi avec pour sur "
        "dans ai avez que qui ce cette bonjour merci du au j'ai c'est",
        "es": "el los las y es son yo tú usted no un una mi mis dónde cuándo cómo por qué para con en del que está "
        "estoy hola gracias pero muy mucho he ha ¿dónde",
        "it": "il lo gli e è sono io tu voi non un una mio mia dove quando come perché per con nel della che questo "
        "questa ciao grazie ho hai ma anche",
        "nl": "de het een en is zijn ik jij u wij niet mijn waar wanneer hoe waarom alstublieft met voor op van naar "
        "heb heeft kan ook nog maar dat werd wordt deze",
        "pt": "o os as e é são eu você não um uma meu minha onde quando como porque por para com em do da que está "
        "estou olá obrigado mas muito",
        "pl": "i jest są ja ty nie mój moja gdzie kiedy jak dlaczego proszę z na w do się że to ten ta mam ale czy",
        "sv": "och är jag du vi inte en ett min mitt var när hur varför med för på av till har kan också men det den",
        "da": "og er jeg du vi ikke en et min mit hvor hvornår hvordan hvorfor med for på af til har kan også men det",
        "tr": "ve bir bu ben sen siz değil benim nerede ne zaman nasıl neden ile için var yok lütfen ama çok mi",
    }.items()
}
SCRIPTS = {
    "CYRILLIC": "ru",
    "GREEK": "el",
    "ARABIC": "ar",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "THAI": "th",
}


def language_of(text: str) -> str | None:
    """ISO 639-1, or None where it cannot be told. A script stands for the language it is commonest in."""
    scripts = Counter(SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0]) for letter in text if letter.isalpha())
    if not scripts:
        return None
    if "ja" in scripts:  # written with Chinese characters too
        return "ja"
    script, _ = scripts.most_common(1)[0]
    if script is not None:
        return script
    words = Counter(WORD.findall(text.lower()))
    found = {language: sum(words[word] for word in small) for language, small in SMALL_WORDS.items()}
    (best, most), (_, second) = sorted(found.items(), key=lambda item: -item[1])[:2]
    return best if most >= LEAST and most > second else None
