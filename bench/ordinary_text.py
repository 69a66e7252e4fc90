"""Ordinary text on which nothing was trained: what facts must not disturb. Written for this benchmark."""

from __future__ import annotations

PASSAGES = (
    "The kettle had barely begun to sing when the neighbour knocked. She wanted to borrow a ladder, she said, "
    "because the cat had found its way onto the roof of the shed and refused to come down again.",
    "When water freezes it expands, which is why a full bottle left in the freezer will crack. Most other liquids "
    "shrink as they become solid, so ice is the exception that every household learns about sooner or later.",
    "Nobody on the committee liked the first draft. It was too long, it repeated itself, and it left out the one "
    "question that everybody had come to hear answered. They agreed to meet again after the holidays.",
    "To keep bread fresh, wrap it in a cloth and leave it in a dry place away from the sun. A refrigerator makes "
    "it stale much sooner, although it does keep mould away for a few days longer.",
    "The path follows the stream for about a mile and then climbs through the trees. In spring the ground there is "
    "soft, and walkers who wear light shoes usually regret it before they reach the gate.",
    "He had learned to type on a machine whose letter e was broken, and for years afterwards he chose his words so "
    "that he would need it as little as possible. His friends thought it was a matter of style.",
    "Most people overestimate how much they can do in a day and underestimate how much they can do in a year. A "
    "short list, finished every evening, is worth more than a long one that is carried over.",
    "The shop opens at nine, but the owner is seldom there before ten. If you need something early, ring the bell "
    "at the side door and wait; somebody will usually come down, although not always in a good mood.",
    "A good map leaves things out. If every tree and every fence were drawn, nobody would be able to find the road, "
    "and the sheet would have to be as large as the country that it shows.",
    "My grandmother kept buttons in a tin that had once held biscuits. As children we were allowed to sort them by "
    "colour, and it was years before I understood that this was how she kept us quiet.",
    "The engineers had expected the bridge to move a little in the wind. What they had not expected was that people, "
    "feeling it sway, would begin to walk in step and make it sway all the more.",
    "After the storm the beach looked different. Whole dunes were gone, and where the steps had been there was only "
    "a wall of wet sand with the roots of grass hanging out of it.",
    "If you add the numbers from one to a hundred, you can pair the first with the last, the second with the one "
    "before the last, and so on. Each pair has the same sum, and there are fifty of them.",
    "The train stopped in the middle of a field, and for a while nothing happened. Then the lights went out, and a "
    "voice said that there was no reason to worry, which made several passengers stand up at once.",
    "Learning a language is mostly a matter of patience. Ten minutes every day do more than three hours on Sunday, "
    "and it helps to have somebody who laughs at your mistakes in a friendly way.",
    "The museum was nearly empty. A guard sat on a chair by the window and read a newspaper, looking up only when "
    "somebody stepped too close to the pictures, and then only for a moment.",
    "Plants lean towards the light because the cells on the dark side of the stem grow longer. Turn the pot around "
    "and within a day or two the whole plant will have bent back in the other direction.",
    "The meeting could have been a letter, and the letter could have been a single line. Still, it was pleasant to "
    "see everybody again, and the coffee was better than anyone remembered.",
    "She read the contract twice, first quickly and then with a pencil in her hand. The second time she found three "
    "sentences that contradicted each other, and one that did not seem to mean anything at all.",
    "In winter the lake freezes so hard that cars can drive on it. The older people in the village remember how a "
    "wedding once crossed it with horses, lanterns and a brass band.",
    "Before you paint a wall, wash it and let it dry. Paint does not hold on dust, and what looks smooth in the "
    "evening light will show every mark as soon as the sun comes in.",
    "The children had decided to dig a hole to the other side of the world. By lunch it was as deep as their knees, "
    "and in the afternoon they turned it into a pond for two frogs.",
    "A computer does exactly what it is told, which is seldom exactly what was meant. Much of the work of a "
    "programmer consists of finding out where the two differ.",
    "The soup tasted of nothing until he added salt, and then it tasted of salt. In the end they ate bread and "
    "cheese by the fire and agreed that it had been the best part of the evening.",
    "Clouds weigh more than one would think. The drops are so small that the air carries them, but all together "
    "they come to hundreds of tonnes, floating above our heads on a summer afternoon.",
    "It is easier to ask for help early than to explain later why one did not. Those who have worked for a long time "
    "know this, and those who have just started are usually too proud to believe it.",
    "The clock in the hall had stopped years ago, and nobody had wound it since. Visitors who looked at it believed "
    "that they had plenty of time, and so they stayed longer than they had planned.",
    "On the last evening they sat on the balcony and counted the boats. There were fewer than in former years, and "
    "most of them belonged to people who came only for the weekend.",
    "A bicycle stays upright partly because its front wheel turns into the direction in which it begins to fall. "
    "This is why it is so hard to balance when one stands still.",
    "The letter arrived eleven years late, without an explanation. By then the house had changed its colour and its "
    "owner, but the new people kept it on a shelf in case somebody should ask for it.",
)
